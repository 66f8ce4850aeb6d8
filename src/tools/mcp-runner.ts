// Remote MCP in the loop: the servers of one request, their tools under names that the model can call, and every call either
// run once, put to the client for approval, or answered with why it cannot be.
// https://platform.openai.com/docs/guides/tools-connectors-mcp
import { ApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import type { InputItem, Tool } from '../protocol/responses.ts'
import { type Approvals, type FoundApproval, findApprovals, type Origin } from './mcp/approvals.ts'
import { checkArguments } from './mcp/arguments.ts'
import { faultCodes, McpFault } from './mcp/fault.ts'
import type { McpServer } from './mcp/server.ts'
import type { McpSpec } from './mcp/server-spec.ts'
import { functionNames, type McpTool } from './mcp/tool-list.ts'
import { ListedServer } from './mcp-listed.ts'
import {
  type Json,
  lostResult,
  type ModelCall,
  type PendingRun,
  type RunEnd,
  type Runner,
  type ShownItem,
  type ToolRun,
} from './runner.ts'

export interface McpRunnerOptions {
  servers: readonly { spec: McpSpec; server: McpServer }[]
  approvals: Approvals
  /** What approvals are asked for in, and must come from. */
  origin: Origin
  newId: NewId
  /** The whole history. */
  input: readonly object[]
  /** Functions of the client's own, whose names are taken. */
  taken: ReadonlySet<string>
}

interface Subject {
  known: ListedServer
  name: string
  /** Undefined where the server has no such tool. */
  tool: McpTool | undefined
}

const argumentsEvents = { field: 'arguments', events: 'mcp_call_arguments' }

export class McpRunner implements Runner {
  readonly #options: McpRunnerOptions
  readonly #servers: ListedServer[]
  /** By the name that the model knows. */
  readonly #functions = new Map<string, Subject>()
  /** The function that stands for a server's tool. */
  readonly #names = new Map<string, string>()
  #tools: Tool[] = []
  #pending: PendingRun[] = []
  /** What the model reads of a request for approval that has been answered, by its id. */
  readonly #answers = new Map<string, InputItem[]>()

  constructor(options: McpRunnerOptions) {
    this.#options = options
    this.#servers = options.servers.map((each) => new ListedServer(each))
  }

  get tools(): readonly Tool[] {
    return this.#tools
  }

  async *open(signal: AbortSignal): AsyncGenerator<ShownItem> {
    // What is wrong with the input itself is found before any server is asked.
    const { input, newId } = this.#options
    const approvals = findApprovals(input)
    const listed = this.#servers.map((known) => known.steps(input, newId, signal))
    for (const steps of listed) {
      for (const step of steps) yield await step
    }
    this.#name()
    for (const found of approvals) {
      if (found.state === 'denied') this.#deny(found)
      if (found.state === 'approved') await this.#approved(found, signal)
    }
  }

  pending(): readonly PendingRun[] {
    return this.#pending
  }

  take({ type, name, namespace }: ModelCall): ToolRun | undefined {
    if (type !== 'function_call' || namespace !== undefined) return undefined
    const subject = this.#functions.get(name) ?? this.#unknown(name)
    return subject && this.#run(subject, undefined)
  }

  choice({ type, server_label, name }: Json): Json[] | undefined {
    if (type !== 'mcp') return undefined
    const named: Json[] = []
    for (const [own, { known, tool }] of this.#functions) {
      const isMeant = known.spec.label === server_label && (name == null || name === tool?.name)
      if (isMeant) named.push({ type: 'function', name: own })
    }
    if (named.length > 0) return named
    throw new ApiError('invalid_value', 'tool_choice names an MCP tool that is not there.', {
      param: 'tool_choice',
    })
  }

  recall(item: Json): InputItem[] | undefined {
    switch (item.type) {
      case 'mcp_list_tools':
      case 'mcp_approval_request':
        return []
      case 'mcp_approval_response':
        return this.#answers.get(String(item.approval_request_id)) ?? []
      case 'mcp_call':
        return this.#told(item)
      default:
        return undefined
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#servers.map(({ server }) => server.close()))
  }

  #name(): void {
    const lists = this.#servers.map(({ spec, tools }) => ({ label: spec.label, tools }))
    for (const [name, { label, tool }] of functionNames(lists)) {
      const known = this.#servers.find(({ spec }) => spec.label === label)
      if (known === undefined) continue
      if (this.#options.taken.has(name)) {
        const message = `The function '${name}' has the name of a tool of the MCP server '${label}'.`
        throw new ApiError('invalid_value', message, { param: 'tools' })
      }
      this.#functions.set(name, { known, name: tool.name, tool })
      this.#names.set(nameKey(label, tool.name), name)
      this.#tools.push(functionOf(name, tool, known.spec))
    }
  }

  // ---- approvals

  async #approved(found: FoundApproval, signal: AbortSignal): Promise<void> {
    try {
      await this.#approve(found, signal)
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || !found.isPast) throw thrown
      // The conversation has gone on since: it must not end at a call that can never be made.
      this.#answer(found.request.id, found.request, `The call is not made now. ${thrown.message}`)
    }
  }

  #deny({ request, reason }: FoundApproval): void {
    const why = reason === null || reason === '' ? '' : ` Their reason: ${reason}`
    this.#answer(request.id, request, `The user did not allow this call.${why}`)
  }

  /** What was agreed to is held to the tool as the server has it now, not to what the client's list says of it. */
  async #approve({ request, param }: FoundApproval, signal: AbortSignal): Promise<void> {
    const known = this.#servers.find(({ spec }) => spec.label === request.server_label)
    if (known === undefined) {
      const message = `The approval in '${param}' is for '${request.server_label}', which is not in tools.`
      throw new ApiError('invalid_value', message, { param })
    }
    const { name } = request
    const current = await known.current(signal).catch((thrown: unknown) => {
      if (!(thrown instanceof McpFault)) throw thrown
      const message = `The MCP server '${known.spec.label}' could not be asked: ${thrown.toText()}`
      throw new ApiError('upstream_error', message, { param, cause: thrown })
    })
    const subject = { known, name, tool: current.find((tool) => tool.name === name) }
    const { approvals, origin } = this.#options
    const asked = this.#subject(subject, request.arguments)
    await approvals.check(request.id, asked, origin, param)
    const run = this.#run(subject, { id: request.id })
    this.#pending.push({ run, text: request.arguments })
  }

  /** The model reads an answered request as a call and what came of it. */
  #answer(
    id: string,
    { server_label, name, arguments: text }: FoundApproval['request'],
    output: string,
  ): void {
    const call = { type: 'mcp_call', id, server_label, name, arguments: text, output }
    this.#answers.set(id, this.#told(call))
  }

  #told({ id, server_label, name, arguments: text, output, error }: Json): InputItem[] {
    const call_id = String(id)
    const own =
      this.#names.get(nameKey(server_label, name)) ?? `${String(server_label)}__${String(name)}`
    const fault = error ?? 'The result is not known: the call may have run.'
    const told = typeof output === 'string' ? output : JSON.stringify({ error: fault })
    return [
      { type: 'function_call', call_id, name: own, arguments: String(text) },
      { type: 'function_call_output', call_id, output: told },
    ]
  }

  // ---- calls

  /** A name that looks like a tool of one of the servers. */
  #unknown(name: string): Subject | undefined {
    const known = this.#servers.find(({ spec }) => name.startsWith(`${spec.label}__`))
    if (known === undefined || this.#options.taken.has(name)) return undefined
    return { known, name: name.slice(known.spec.label.length + 2), tool: undefined }
  }

  #subject({ known: { spec }, name, tool }: Subject, text: string) {
    return { label: spec.label, url: spec.url, tool, name, arguments: text }
  }

  #run(subject: Subject, approval: { id: string } | undefined): ToolRun {
    const { known, name, tool } = subject
    const item: Json = {
      id: this.#options.newId('mcp'),
      type: 'mcp_call',
      status: 'in_progress',
      server_label: known.spec.label,
      name,
      arguments: '',
      output: null,
      error: null,
      approval_request_id: approval?.id ?? null,
    }
    const asks = approval === undefined && tool !== undefined && known.spec.needsApproval(tool)
    const told = (text: string, output: string) => {
      if (approval === undefined) return
      const request = { id: approval.id, server_label: known.spec.label, name, arguments: text }
      this.#answer(approval.id, request, output)
    }
    const call = async (text: string, signal: AbortSignal) => {
      const end = await this.#call(item, subject, text, { asks, approval, signal })
      told(text, end.output ?? '')
      return end
    }
    return {
      announced: item,
      live: !asks && (approval !== undefined || !known.pinned),
      begun: ['mcp_call.in_progress'],
      grows: argumentsEvents,
      running: [],
      run: call,
      refuse: (text, reason) => {
        told(text, reason)
        return protocolFault(item, text, reason)
      },
      ...(asks || tool === undefined ? {} : { lost: (text) => lostCall(item, text) }),
    }
  }

  async #call(
    item: Json,
    subject: Subject,
    text: string,
    how: {
      asks: boolean
      approval: { id: string } | undefined
      signal: AbortSignal
    },
  ): Promise<RunEnd> {
    const { known, name, tool } = subject
    if (tool === undefined) {
      return protocolFault(item, text, `There is no tool '${name}' on '${known.spec.label}'.`)
    }
    const { args, fault } = checkArguments(tool, text)
    if (args === undefined) return protocolFault(item, text, fault)
    try {
      if (how.asks) return await this.#ask(subject, text)
      if (how.approval !== undefined)
        await this.#options.approvals.spend(how.approval.id, 'approval_request_id')
      else {
        const changed = await known.changed(tool, how.signal)
        if (changed !== undefined) return await this.#ask({ ...subject, tool: changed }, text)
      }
      const { output, isError } = await known.server.call(tool, args, how.signal)
      if (!isError) {
        const done = { ...item, status: 'completed', arguments: text, output }
        return { item: done, events: ['mcp_call.completed'], output }
      }
      const error = { type: 'mcp_tool_execution_error', content: [{ type: 'text', text: output }] }
      return failed(item, text, error, output)
    } catch (thrown) {
      if (how.signal.aborted) throw thrown
      if (thrown instanceof McpFault)
        return failed(item, text, thrown.toItemError(), thrown.toText())
      if (thrown instanceof ApiError) return protocolFault(item, text, thrown.message)
      throw thrown
    }
  }

  /** A question to the client in the place of a call. */
  async #ask(subject: Subject, text: string): Promise<RunEnd> {
    const { approvals, origin } = this.#options
    const id = await approvals.request(this.#subject(subject, text), origin)
    const { known, name } = subject
    const item = {
      id,
      type: 'mcp_approval_request',
      server_label: known.spec.label,
      name,
      arguments: text,
    }
    return { item, events: [], output: undefined }
  }
}

function functionOf(name: string, tool: McpTool, spec: McpSpec): Tool {
  const about = [tool.description ?? '', spec.description ?? ''].filter((text) => text !== '')
  return {
    type: 'function',
    name,
    description: about.join('\n\n'),
    parameters: tool.input_schema,
    strict: false,
  }
}

function protocolFault(item: Json, text: string, message: string): RunEnd {
  return failed(item, text, { type: 'mcp_protocol_error', code: -32602, message }, message)
}

/** With the code of a connection that was lost: so it was, on our side. */
function lostCall(item: Json, text: string): RunEnd {
  const error = {
    type: 'mcp_protocol_error',
    code: faultCodes.connectionClosed,
    message: lostResult,
  }
  return failed(item, text, error, lostResult)
}

function failed(item: Json, text: string, error: Json, output: string): RunEnd {
  return {
    item: { ...item, status: 'failed', arguments: text, error },
    events: ['mcp_call.failed'],
    output,
  }
}

function nameKey(label: unknown, name: unknown): string {
  return JSON.stringify([label, name])
}
