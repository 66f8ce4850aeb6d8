// web_search: a browser for models that see text. Searches by the engine that the configuration names, opens pages through
// the egress gate, finds words in them. Nothing is fetched before the first call.
import type { EgressPolicy } from '../../../src/egress/egress.ts'
import { redact } from '../../../src/errors.ts'
import type { WebSearchSettings } from '../../../src/tools/hosted.ts'
import type { Resolve } from '../../server/pinned-get.ts'
import type { NodeTool, ToolCall, ToolResult } from '../tool.ts'
import type { SearchBackend } from './backends/backend.ts'
import { type BackendName, createBackend } from './backends/index.ts'
import { documentText } from './document-text.ts'
import { fetchPage } from './fetch-page.ts'
import type { CountTokens } from './lines.ts'
import { pageFrom } from './pages.ts'
import { BrowserError, BrowserSession, type BrowserWorld, type Display } from './session.ts'

export interface BrowserOptions {
  backend: BackendName
  /** Where the engine is; needed for SearXNG. */
  url?: string | undefined
  /** The engine's key; needed for all but SearXNG. */
  key?: string | undefined
  /** Results of a search, where the model names no number: 10. */
  topn?: number | undefined
  /** Which pages may be opened. */
  egress: EgressPolicy | undefined
  /** For requests to the engine; pages are fetched to the address that was checked. */
  fetch?: typeof fetch | undefined
  /** Milliseconds of a clock. */
  now?: (() => number) | undefined
  resolve?: Resolve | undefined
}

const maxSessions = 32
const maxTopn = 20
const maxQuery = 2000
const maxPattern = 1000

/** The browser. Throws where the options lack what the engine needs. */
export function createBrowserTool(options: BrowserOptions): NodeTool {
  return new BrowserTool(options)
}

class BrowserTool implements NodeTool {
  readonly name = 'web_search'
  readonly maxSessions = maxSessions
  readonly #options: BrowserOptions
  readonly #backend: SearchBackend
  /** By the host's ids, the one used longest ago first. */
  readonly #sessions = new Map<string, BrowserSession>()
  readonly #closed = new AbortController()
  #count: Promise<CountTokens> | undefined

  constructor(options: BrowserOptions) {
    this.#options = options
    this.#backend = createBackend(options.backend, options)
  }

  async call(call: ToolCall, outer: AbortSignal): Promise<ToolResult> {
    const signal = AbortSignal.any([outer, this.#closed.signal])
    signal.throwIfAborted()
    try {
      const session = await this.#session(call.session)
      return { isError: false, ...(await this.#run(session, call, signal)) }
    } catch (thrown) {
      signal.throwIfAborted()
      if (thrown instanceof BrowserError) return { isError: true, text: thrown.message }
      throw thrown
    }
  }

  async end(session: string): Promise<void> {
    this.#sessions.delete(session)
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error('The browser was closed.'))
    this.#sessions.clear()
  }

  async #session(id: string): Promise<BrowserSession> {
    const world = await this.#world()
    const session = this.#sessions.get(id) ?? new BrowserSession(world)
    this.#sessions.delete(id)
    this.#sessions.set(id, session)
    if (this.#sessions.size > maxSessions) {
      for (const oldest of this.#sessions.keys()) {
        this.#sessions.delete(oldest)
        break
      }
    }
    return session
  }

  #run(session: BrowserSession, call: ToolCall, signal: AbortSignal): Promise<Display> | Display {
    const { action, arguments: given, settings = {} } = call
    if (settings.offline) {
      throw new BrowserError('Web access is turned off for this request (external_web_access).')
    }
    switch (action) {
      case 'search': {
        const query = wordsOf(given, 'query', maxQuery)
        const topn = wholeOf(given, 'topn') ?? this.#options.topn ?? 10
        return session.search(query, Math.max(1, Math.min(topn, maxTopn)), settings, signal)
      }
      case 'open':
        return session.open(
          {
            id: idOf(given.id),
            cursor: wholeOf(given, 'cursor'),
            loc: wholeOf(given, 'loc'),
            numLines: wholeOf(given, 'num_lines'),
            viewSource: given.view_source === true,
          },
          settings,
          signal,
        )
      case 'find':
        return session.find(
          wordsOf(given, 'pattern', maxPattern),
          wholeOf(given, 'cursor'),
          settings,
        )
      default:
        throw new BrowserError(JSON.stringify({ error: `Unknown function: ${action}` }))
    }
  }

  async #world(): Promise<BrowserWorld> {
    const { egress, resolve, now = Date.now } = this.#options
    this.#count ??= loadTokens()
    const count = await this.#count
    return {
      count,
      now,
      search: (query, topn, settings, signal) => this.#search(query, topn, settings, signal),
      fetch: async (url, source, { allowedDomains }, signal) => {
        const fetched = await fetchPage(url, { policy: egress, signal, resolve, allowedDomains })
        const text = documentText(fetched, source)
        const page = pageFrom(fetched.url, now(), { ...text, isCut: text.isCut || fetched.isCut })
        // The source is another text than the page: it must not stand for it.
        return source ? { ...page, kind: 'source' } : page
      },
    }
  }

  async #search(
    query: string,
    topn: number,
    { allowedDomains, userLocation, contextSize }: WebSearchSettings,
    signal: AbortSignal,
  ) {
    try {
      return await this.#backend.search(query, {
        topn,
        signal,
        domains: allowedDomains,
        country: userLocation?.country,
        wantsPages: contextSize === 'high',
      })
    } catch (thrown) {
      signal.throwIfAborted()
      const reason = thrown instanceof Error ? thrown.message : 'it failed'
      throw new BrowserError(
        `Error during search for \`${query.slice(0, 200)}\`: ${redact(reason)}.`,
      )
    }
  }
}

/** The ranks of o200k are 2 MB of JavaScript: nobody pays for them before a page is shown. */
async function loadTokens(): Promise<CountTokens> {
  const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base')
  const asText = { disallowedSpecial: new Set<string>() }
  return (text) => countTokens(text, asText)
}

function wordsOf(given: Record<string, unknown>, key: string, max: number): string {
  const value = given[key]
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || text.trim() === '') {
    throw new BrowserError(`\`${key}\` should be a string that is not empty.`)
  }
  if (text.length > max) throw new BrowserError(`\`${key}\` is longer than ${max} characters.`)
  return text
}

/** A whole number, as a number or as a model spells it; undefined where it is left out. */
function wholeOf(given: Record<string, unknown>, key: string): number | undefined {
  const value = given[key]
  if (value === undefined || value === null) return undefined
  const number = typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isFinite(number)) return Math.trunc(number)
  throw new BrowserError(`\`${key}\` should be an integer.`)
}

/** A link's id, or a URL. */
function idOf(value: unknown): number | string | undefined {
  if (typeof value !== 'string') return wholeOf({ id: value }, 'id')
  if (/^-?\d{1,9}$/.test(value)) return Number(value)
  if (value.trim() === '') return undefined
  return value
}
