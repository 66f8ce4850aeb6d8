// Tools of agents for models that know functions only. A freeform tool becomes a function with one string, a namespace is
// flattened, a shell becomes a function with the fields of its call; stream/call-shape.ts turns the calls back. Pure.
import { ApiError } from '../errors.ts'
import type { CustomTool } from '../protocol/call-items.ts'
import { isObject } from '../protocol/check.ts'
import type {
  FunctionTool,
  InputItem,
  ResponsesRequest,
  Tool,
  ToolChoice,
} from '../protocol/responses.ts'
import {
  type CallShape,
  type CallShapes,
  type FreeformFormat,
  inputKey,
} from '../stream/call-shape.ts'
import { loweredItems, needsLowering } from './agent-items.ts'
import { hostedTools } from './hosted-tools.ts'
import { ToolNames } from './tool-names.ts'

export interface Lowered {
  /** The request with functions and their calls alone; the very object where it had nothing else. */
  request: ResponsesRequest
  /** What calls of those functions are to the client. */
  calls: CallShapes
  /** What could not be taken along. */
  dropped: string[]
}

const none: CallShapes = new Map()
/** A request is converted on its way out and read again for its answer. Plain ones are not kept: finding them costs as much. */
const known = new WeakMap<ResponsesRequest, Lowered>()

/** The request as a model can be told it; throws ApiError for a tool choice that nothing here can meet. */
export function lowerTools(request: ResponsesRequest): Lowered {
  if (isPlain(request)) return { request, calls: none, dropped: [] }
  const before = known.get(request)
  if (before !== undefined) return before
  const lowered = new Lowering(request).run()
  known.set(request, lowered)
  return lowered
}

function isPlain({ tools, tool_choice, input }: ResponsesRequest): boolean {
  const plainTools = tools?.every((tool) => tool.type === 'function' && !isDeferred(tool)) ?? true
  const plainChoice = !isObject(tool_choice) || tool_choice.type === 'function'
  return plainTools && plainChoice && (typeof input === 'string' || !input?.some(needsLowering))
}

/** A tool that the model shall find by tool search first. */
function isDeferred(tool: Record<string, unknown>): boolean {
  return tool.defer_loading === true
}

type AnyTool = Record<string, unknown> & { type: string }

class Lowering {
  readonly #request: ResponsesRequest
  readonly #calls = new Map<string, CallShape>()
  readonly #dropped: string[] = []
  /** By name; of those with one name the first counts. */
  readonly #tools = new Map<string, FunctionTool>()
  readonly #names: ToolNames
  /** Tool type → function, for the types that have one tool. */
  readonly #single = new Map<string, string>()
  /** Functions of each namespace. */
  readonly #members = new Map<string, string[]>()
  /** The client runs the search itself: a deferred tool is offered once a search has found it. */
  readonly #searches: boolean

  constructor(request: ResponsesRequest) {
    this.#request = request
    const tools: AnyTool[] = request.tools ?? []
    const functions = tools.filter(({ type }) => type === 'function')
    this.#names = new ToolNames(functions.map(({ name }) => String(name)))
    this.#searches = tools.some((tool) => tool.type === 'tool_search' && isClientRun(tool))
  }

  run(): Lowered {
    const request = this.#request
    for (const [index, tool] of (request.tools ?? []).entries()) {
      this.#offer(tool, `tools[${index}]`, true)
    }
    const items = typeof request.input === 'string' ? undefined : this.#items(request.input)
    const tool_choice = this.#choice(request.tool_choice)
    const { tools: _tools, tool_choice: _choice, ...rest } = request
    const lowered: ResponsesRequest = {
      ...rest,
      ...(items === undefined ? {} : items.settings),
      ...(items === undefined ? {} : { input: items.input }),
      ...(this.#tools.size === 0 ? {} : { tools: [...this.#tools.values()] }),
      ...(tool_choice === undefined ? {} : { tool_choice }),
    }
    return { request: lowered, calls: this.#calls, dropped: this.#dropped }
  }

  #items(input: readonly InputItem[]) {
    return loweredItems(input, this.#request, {
      name: (namespace, name) => this.#names.flat(namespace, name),
      builtIn: (type) => this.#single.get(type) ?? type,
      offer: (tool, path) => this.#offer(tool, path, false),
      leaveOut: (what) => this.#dropped.push(what),
    })
  }

  /** Adds the functions of one tool. `declared`: by the request itself, so that a deferred one may have to wait. */
  #offer(tool: AnyTool, path: string, declared: boolean): void {
    if (declared && this.#searches && isDeferred(tool)) return
    switch (tool.type) {
      case 'function':
        this.#function(tool)
        return
      case 'custom':
        this.#custom(tool as CustomTool, path)
        return
      case 'namespace':
        this.#namespace(tool, path, declared)
        return
      case 'local_shell':
      case 'apply_patch':
        this.#builtIn(tool.type)
        return
      case 'shell':
        if (isLocal(tool)) this.#builtIn('shell')
        else this.#leaveOut(tool, path)
        return
      case 'tool_search':
        // Searched at the server, it would find what is offered at once here: there is nothing to search.
        if (isClientRun(tool)) this.#search(tool, path)
        return
      default:
        this.#leaveOut(tool, path)
    }
  }

  #leaveOut(tool: AnyTool, path: string): void {
    this.#dropped.push(`${path} (${tool.type})`)
  }

  #add(tool: FunctionTool, shape: CallShape | undefined): void {
    if (this.#tools.has(tool.name)) return
    this.#tools.set(tool.name, tool)
    if (shape !== undefined) this.#calls.set(tool.name, shape)
  }

  #function(tool: AnyTool, namespace?: string): void {
    const { defer_loading: _, ...rest } = tool
    const given = String(tool.name)
    const name = namespace === undefined ? given : this.#names.flat(namespace, given)
    const shape: CallShape = { kind: 'function', name: given, ...inNamespace(namespace) }
    this.#add({ ...rest, type: 'function', name }, namespace === undefined ? undefined : shape)
    this.#member(namespace, name)
  }

  #custom(tool: CustomTool, path: string, namespace?: string): void {
    const name = this.#names.flat(namespace, tool.name)
    const description = [tool.description ?? '', ...grammarNote(tool)].filter((text) => text !== '')
    const input = { type: 'string', description: 'The text that the tool takes.' }
    const definition = functionTool(name, description.join('\n\n'), { [inputKey]: input })
    const shape: CallShape = { kind: 'custom', name: tool.name, ...inNamespace(namespace) }
    const format = freeformFormat(tool, path)
    this.#add(definition, format === undefined ? shape : { ...shape, format })
    this.#member(namespace, name)
  }

  #namespace(tool: AnyTool, path: string, declared: boolean): void {
    const namespace = String(tool.name)
    let about = typeof tool.description === 'string' ? tool.description : ''
    for (const [index, given] of (Array.isArray(tool.tools) ? tool.tools : []).entries()) {
      if (!isObject(given)) continue
      if (declared && this.#searches && isDeferred(given)) continue
      const inner = withDescription(given, about)
      if (inner.type === 'function') this.#function({ ...inner, type: 'function' }, namespace)
      else if (inner.type === 'custom') {
        this.#custom(inner as CustomTool, `${path}.tools[${index}]`, namespace)
      }
      // What is said of the whole namespace has no place but its first tool.
      if (inner.type === 'function' || inner.type === 'custom') about = ''
      else this.#leaveOut({ type: String(inner.type) }, `${path}.tools[${index}]`)
    }
  }

  #builtIn(type: keyof typeof builtIns): void {
    const name = this.#names.flat(undefined, type)
    const { description, properties, required } = builtIns[type]
    this.#add(functionTool(name, description, properties, required), { kind: type })
    this.#single.set(type, name)
  }

  #search(tool: AnyTool, path: string): void {
    const name = this.#names.flat(undefined, 'tool_search')
    const query = { type: 'string', description: 'What the tool should be able to do.' }
    const definition = functionTool(name, 'Finds further tools.', { query })
    const { description, parameters } = tool
    if (isObject(parameters)) refuseOtherThanObject(parameters, `${path}.parameters`)
    this.#add(
      {
        ...definition,
        ...(typeof description === 'string' ? { description } : {}),
        ...(isObject(parameters) ? { parameters } : {}),
      },
      { kind: 'tool_search' },
    )
    this.#single.set('tool_search', name)
  }

  #member(namespace: string | undefined, name: string): void {
    if (namespace === undefined) return
    const members = this.#members.get(namespace)
    if (members === undefined) this.#members.set(namespace, [name])
    else members.push(name)
  }

  #choice(choice: ResponsesRequest['tool_choice']): ToolChoice | undefined {
    if (!isObject(choice)) return choice ?? undefined
    if (choice.type !== 'allowed_tools') {
      const [name, ...others] = this.#chosen(choice)
      if (name !== undefined && others.length === 0) return { type: 'function', name }
      throw new ApiError(
        'unsupported_parameter',
        `A tool choice of type '${String(choice.type)}' cannot be met: no such tool is offered here.`,
        { param: 'tool_choice' },
      )
    }
    const tools = choice.tools.flatMap((tool) =>
      this.#chosen(tool).map((name) => ({ type: 'function', name })),
    )
    return { ...choice, tools }
  }

  /** The functions behind one entry of a tool choice. */
  #chosen(entry: Record<string, unknown>): string[] {
    const type = typeof entry.type === 'string' ? entry.type : ''
    const { name } = entry
    const namespace = typeof entry.namespace === 'string' ? entry.namespace : undefined
    const single = this.#single.get(type)
    if (single !== undefined) return [single]
    if (typeof name !== 'string' || Object.hasOwn(hostedTools, type)) return []
    if (type === 'namespace') return this.#members.get(name) ?? []
    return [
      type === 'function' && namespace === undefined ? name : this.#names.flat(namespace, name),
    ]
  }
}

function withDescription(tool: Record<string, unknown>, about: string): Record<string, unknown> {
  if (about === '') return tool
  const own = typeof tool.description === 'string' ? tool.description : ''
  return { ...tool, description: own === '' ? about : `${about}\n\n${own}` }
}

function inNamespace(namespace: string | undefined): { namespace?: string } {
  return namespace === undefined ? {} : { namespace }
}

function isClientRun(tool: AnyTool): boolean {
  return tool.execution === 'client'
}

/** The arguments of a search are an object: one that is asked for another value could not be told. */
function refuseOtherThanObject({ type }: Record<string, unknown>, path: string): void {
  if (type == null || [type].flat().includes('object')) return
  const param = `${path}.type`
  throw new ApiError('invalid_value', `'${param}' must be object, as arguments are named.`, {
    param,
  })
}

/** A shell without an environment, or with a local one, runs at the client. */
function isLocal({ environment }: AnyTool): boolean {
  return environment == null || (isObject(environment) && environment.type === 'local')
}

/** Hardly a place can hold a model to a grammar, so it is told of it. */
function grammarNote({ format }: CustomTool): string[] {
  if (format?.type !== 'grammar' || format.definition == null) return []
  return [`The text must follow this ${format.syntax ?? ''} grammar:\n${format.definition}`]
}

/** For a place that can: native-node/server/grammar/freeform.ts. */
function freeformFormat({ format }: CustomTool, path: string): FreeformFormat | undefined {
  const { type, syntax, definition } = format ?? {}
  if (type !== 'grammar' || syntax == null || definition == null) return undefined
  return { syntax, definition, path: `${path}.format.definition` }
}

function functionTool(
  name: string,
  description: string,
  properties: Record<string, unknown>,
  required = Object.keys(properties),
): Tool {
  const parameters = { type: 'object', properties, required, additionalProperties: false }
  return { type: 'function', name, description, parameters, strict: false }
}

const text = (description: string) => ({ type: 'string', description })
const count = (description: string) => ({ type: 'number', description })

const builtIns = {
  local_shell: {
    description: "Runs a command on the user's machine and gives its output.",
    properties: {
      command: {
        type: 'array',
        items: { type: 'string' },
        description: 'The program and its arguments, e.g. ["bash", "-lc", "ls"].',
      },
      working_directory: text('The folder to run it in.'),
      timeout_ms: count('Milliseconds after which it is ended.'),
      env: {
        type: 'object',
        additionalProperties: { type: 'string' },
        description: 'Environment variables to set.',
      },
    },
    required: ['command'],
  },
  shell: {
    description: "Runs shell commands on the user's machine and gives the output of each.",
    properties: {
      commands: {
        type: 'array',
        items: { type: 'string' },
        description: 'Commands of a shell, each run on its own.',
      },
      timeout_ms: count('Milliseconds after which they are ended.'),
      max_output_length: count('The most characters of output to return.'),
    },
    required: ['commands'],
  },
  apply_patch: {
    description:
      'Creates, updates or deletes one file. A diff has lines that begin with a space (context), "-" (removed) or "+" (added), in hunks that begin with "@@"; a new file has "+" lines only.',
    properties: {
      type: { type: 'string', enum: ['create_file', 'update_file', 'delete_file'] },
      path: text('The file, relative to the workspace.'),
      diff: text('What changes; not for delete_file.'),
    },
    required: ['type', 'path'],
  },
}
