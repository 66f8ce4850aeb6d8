// web_search in the loop: the browser of a node, its calls shown as OpenAI shows them. One browser a response: its pages keep
// their cursors from round to round.
import { ApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, Tool } from '../protocol/responses.ts'
import type { CitationSources } from './citations.ts'
import type { HostedResult, HostedTools, WebSearchSettings } from './hosted.ts'
import type { Json, ModelCall, RunEnd, Runner, ToolRun } from './runner.ts'
import { browserFunctions, browserName, browserTool } from './trained-tools.ts'
import { webSearchItem, webSearchTypes } from './web-search-items.ts'

/** What the model is told of arguments that are none; gpt-oss was trained on it. */
const invalidArguments = JSON.stringify({ error: 'Invalid function arguments' })

export interface BrowserOptions {
  hosted: HostedTools
  newId: NewId
  settings: WebSearchSettings
  /** Is told which pages text may cite. */
  sources: CitationSources
  /** The request's `include`. */
  include: readonly string[] | null | undefined
}

interface BrowserCall {
  tool: 'web_search'
  action: string
  arguments: Json
}

export class BrowserRunner implements Runner {
  readonly tools: readonly Tool[] = [browserTool() as unknown as Tool]
  readonly #options: BrowserOptions
  /** Pages are a stack: two calls at once would not know their cursors. */
  #last: Promise<unknown> = Promise.resolve()
  #session: string | undefined

  constructor(options: BrowserOptions) {
    this.#options = options
  }

  take({ name, namespace }: ModelCall): ToolRun | undefined {
    if (namespace !== browserName) return undefined
    const id = this.#options.newId('ws')
    const announced = { ...this.#item(id, callOf(name, {})) }
    return {
      announced,
      live: true,
      begun: ['web_search_call.in_progress'],
      running: ['web_search_call.searching'],
      run: (text, signal) => this.#queued(() => this.#run(id, name, text, signal)),
      refuse: (text, reason) => this.#refused(id, callOf(name, parsed(text) ?? {}), reason),
      lost: (text) => this.#refused(id, callOf(name, parsed(text) ?? {}), ''),
    }
  }

  choice({ type }: Json): Json[] | undefined {
    if (typeof type !== 'string' || !webSearchTypes.has(type)) return undefined
    return [{ type: 'namespace', name: browserName }]
  }

  /** A page that was read in an earlier turn is gone with its browser. */
  recall({ type }: Json): InputItem[] | undefined {
    return type === 'web_search_call' ? [] : undefined
  }

  async close(): Promise<void> {}

  #item(id: string, call: BrowserCall, result?: HostedResult) {
    return webSearchItem({ id, call, result, include: this.#options.include })
  }

  #refused(id: string, call: BrowserCall, output: string): RunEnd {
    const item = { ...this.#item(id, call), status: 'failed' }
    return { item, events: ['web_search_call.completed'], output }
  }

  #queued(work: () => Promise<RunEnd>): Promise<RunEnd> {
    const next = this.#last.then(work, work)
    this.#last = next.catch(() => undefined)
    return next
  }

  async #run(id: string, name: string, text: string, signal: AbortSignal): Promise<RunEnd> {
    // It may have stood in line while whoever asked has left.
    signal.throwIfAborted()
    const args = parsed(text)
    const call = callOf(name, args ?? {})
    if (args === undefined) return this.#refused(id, call, invalidArguments)
    if (!browserFunctions.some((known) => known === name)) {
      return this.#refused(id, call, `There is no function '${name}' in ${browserName}.`)
    }
    const { hosted, settings, sources } = this.#options
    let result: HostedResult
    try {
      result = await hosted.call({ ...call, session: this.#session, settings }, signal)
    } catch (thrown) {
      if (signal.aborted) throw thrown
      const reason = thrown instanceof ApiError ? thrown.message : 'The tool could not be run.'
      return this.#refused(id, call, reason)
    }
    this.#session = result.session
    sources.add(result.sources ?? [])
    const item = { ...this.#item(id, call, result) }
    return { item, events: ['web_search_call.completed'], output: result.text }
  }
}

function callOf(action: string, args: Json): BrowserCall {
  return { tool: 'web_search', action, arguments: args }
}

function parsed(text: string): Json | undefined {
  try {
    const value: unknown = text.trim() === '' ? {} : JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
