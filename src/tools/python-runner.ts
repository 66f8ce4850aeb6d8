// code_interpreter in the loop: Python that runs at a node, shown as OpenAI shows it.
// https://platform.openai.com/docs/guides/tools-code-interpreter
import { ApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, Tool } from '../protocol/responses.ts'
import { fileCitations, imageOutputs } from './container-files.ts'
import { containerPrefix } from './containers.ts'
import type { HostedResult, HostedTools } from './hosted.ts'
import {
  type Json,
  lostResult,
  type ModelCall,
  type RunEnd,
  type Runner,
  type ToolRun,
} from './runner.ts'
import { pythonName, pythonTool } from './trained-tools.ts'

const noOutput = '(no output was kept)'

export interface PythonOptions {
  hosted: HostedTools
  newId: NewId
  /** The container to go on with. */
  container: string | undefined
}

export class PythonRunner implements Runner {
  readonly tools: readonly Tool[] = [pythonTool() as unknown as Tool]
  readonly #hosted: HostedTools
  readonly #newId: NewId
  /** Calls of one container run one after the other: the second may need what the first has set. */
  #last: Promise<unknown> = Promise.resolve()
  #session: string | undefined

  constructor({ hosted, newId, container }: PythonOptions) {
    this.#hosted = hosted
    this.#newId = newId
    this.#session = container?.slice(containerPrefix.length)
  }

  take({ name, namespace }: ModelCall): ToolRun | undefined {
    if (name !== pythonName || namespace !== undefined) return undefined
    const id = this.#newId('ci')
    const item: Json = {
      id,
      type: 'code_interpreter_call',
      status: 'in_progress',
      code: '',
      container_id: this.#container,
      outputs: null,
    }
    return {
      announced: item,
      live: true,
      begun: ['code_interpreter_call.in_progress'],
      grows: { field: 'code', events: 'code_interpreter_call_code' },
      running: ['code_interpreter_call.interpreting'],
      run: (text, signal) => this.#queued(() => this.#run(item, codeOf(text), signal)),
      refuse: (text, reason) => ended(item, codeOf(text), this.#container, reason, true),
      lost: (text) => ended(item, codeOf(text), this.#container, lostResult, true),
    }
  }

  choice({ type }: Json): Json[] | undefined {
    return type === 'code_interpreter' ? [{ type: 'custom', name: pythonName }] : undefined
  }

  recall(item: Json): InputItem[] | undefined {
    if (item.type !== 'code_interpreter_call') return undefined
    const call_id = String(item.id)
    const code = typeof item.code === 'string' ? item.code : ''
    const logs = Array.isArray(item.outputs)
      ? item.outputs.flatMap((each) => (isObject(each) && each.type === 'logs' ? [each.logs] : []))
      : [noOutput]
    return [
      { type: 'custom_tool_call', call_id, name: pythonName, input: code },
      { type: 'custom_tool_call_output', call_id, output: logs.join('\n') },
    ] as unknown as InputItem[]
  }

  /** The container lives on: a later turn may use it. */
  async close(): Promise<void> {}

  get #container(): string {
    return `${containerPrefix}${this.#session ?? ''}`
  }

  #queued(work: () => Promise<RunEnd>): Promise<RunEnd> {
    const next = this.#last.then(work, work)
    this.#last = next.catch(() => undefined)
    return next
  }

  async #run(item: Json, code: string, signal: AbortSignal): Promise<RunEnd> {
    // It may have stood in line while whoever asked has left.
    signal.throwIfAborted()
    const call = {
      tool: 'code_interpreter' as const,
      action: 'run',
      arguments: { code },
      session: this.#session,
      fileData: 'images' as const,
    }
    let result: HostedResult
    try {
      result = await this.#hosted.call(call, signal)
    } catch (thrown) {
      if (signal.aborted) throw thrown
      const reason = thrown instanceof ApiError ? thrown.message : 'The tool could not be run.'
      return ended(item, code, this.#container, reason, true)
    }
    this.#session = result.session
    const container = this.#container
    const logs = result.logs ?? result.text
    // As with OpenAI: code that raises has run. `failed` is what was not run to its end.
    const isFailed = result.isError && result.raised !== true
    const end = ended(item, code, container, logs, isFailed)
    const files = result.files ?? []
    const outputs = [...(end.item.outputs as Json[]), ...imageOutputs(files)]
    const annotations = fileCitations(files, container)
    return { ...end, item: { ...end.item, outputs }, output: result.text, annotations }
  }
}

function ended(
  item: Json,
  code: string,
  container_id: string,
  logs: string,
  isFailed: boolean,
): RunEnd {
  const status = isFailed ? 'failed' : 'completed'
  const outputs = logs === '' ? [] : [{ type: 'logs', logs }]
  return {
    item: { ...item, status, code, container_id, outputs },
    events: ['code_interpreter_call.completed'],
    output: logs,
  }
}

/** Raw code as gpt-oss writes it; other models wrap it as the function's argument. */
function codeOf(text: string): string {
  const fenced = /^\s*```(?:python|py)?\s*\n([\s\S]*?)\n?```\s*$/.exec(text)
  if (fenced !== null) return fenced[1] ?? ''
  if (!/^\s*\{\s*"(?:code|input)"\s*:/.test(text)) return text
  try {
    const value: unknown = JSON.parse(text)
    const code = isObject(value) ? (value.code ?? value.input) : undefined
    return typeof code === 'string' ? code : text
  } catch {
    return text
  }
}
