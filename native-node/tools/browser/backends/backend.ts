// The seam of search engines, and what their clients share: one request, bounded, whose faults become text for the model.
// The engine's address is the operator's own, so that it may well be in a private network.
import { redact } from '../../../../src/errors.ts'
import { isObject } from '../../../../src/protocol/check.ts'

export interface SearchHit {
  title: string
  url: string
  snippet: string
  /** The page itself as Markdown, where the engine gave it. */
  text?: string
}

export interface SearchOptions {
  topn: number
  signal: AbortSignal
  /** Host names to search alone; the caller drops what an engine finds elsewhere. */
  domains?: readonly string[] | undefined
  /** Two letters. */
  country?: string | undefined
  /** The pages themselves are wanted as well, though they cost more. */
  wantsPages?: boolean | undefined
}

export interface SearchBackend {
  /** Throws SearchError with a reason for the model. */
  search(query: string, options: SearchOptions): Promise<SearchHit[]>
}

export interface BackendOptions {
  /** Unset: the engine's own address. */
  url?: string | undefined
  key?: string | undefined
  fetch?: typeof fetch | undefined
}

/** Why a search gave nothing; the message goes to the model. */
export class SearchError extends Error {}

const maxAnswer = 8 * 1024 * 1024
const searchMs = 20_000

export interface EngineRequest {
  /** For messages. */
  engine: string
  url: string
  headers: Record<string, string>
  /** Sent as JSON by POST; a GET without it. */
  body?: Record<string, unknown>
  signal: AbortSignal
  fetch: typeof fetch | undefined
}

/** The engine's answer as an object. Throws SearchError. */
export async function askEngine(request: EngineRequest): Promise<Record<string, unknown>> {
  const { engine, signal: outer } = request
  const signal = AbortSignal.any([outer, AbortSignal.timeout(searchMs)])
  try {
    const response = await send(request, signal)
    const text = await readText(response, engine)
    if (!response.ok) throw new SearchError(faultOf(engine, response, text))
    const answer = parse(text)
    if (isObject(answer)) return answer
    throw new SearchError(
      `${engine} answered with something else than JSON${hint(engine, response.status)}`,
    )
  } catch (thrown) {
    outer.throwIfAborted()
    if (thrown instanceof SearchError) throw thrown
    if (signal.aborted) {
      throw new SearchError(`${engine} did not answer within ${searchMs / 1000} s`)
    }
    throw new SearchError(`${engine} could not be reached`, { cause: thrown })
  }
}

function send({ url, headers, body, fetch: ask = fetch }: EngineRequest, signal: AbortSignal) {
  return ask(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    // The key must go nowhere else.
    redirect: 'manual',
    signal,
  })
}

async function readText(response: Response, engine: string): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let length = 0
  // Leaving the loop cancels the body.
  for await (const piece of response.body ?? []) {
    length += piece.byteLength
    if (length > maxAnswer) throw new SearchError(`${engine} answered with more than 8 MiB`)
    text += decoder.decode(piece, { stream: true })
  }
  return text + decoder.decode()
}

function faultOf(engine: string, response: Response, text: string): string {
  const { status } = response
  const told = detailOf(parse(text))
  const detail = told === undefined ? '' : `: ${told}`
  if (status === 429) {
    const after = /^\d{1,6}$/.exec(response.headers.get('retry-after') ?? '')?.[0]
    const when = after === undefined ? 'later' : `in ${after} s`
    return `${engine} takes no more searches for now; try again ${when}${detail}`
  }
  if (status === 401 || status === 403) {
    return `${engine} refused the search (status ${status})${hint(engine, status)}${detail}`
  }
  if (status === 402) return `${engine} has no credit left${detail}`
  if (status >= 300 && status < 400) return `${engine} redirects, which is not followed`
  return `${engine} failed (status ${status})${detail}`
}

function hint(engine: string, status: number): string {
  if (engine === 'SearXNG') {
    return status === 403 || status === 200
      ? '; its settings must list json under search.formats'
      : ''
  }
  return status === 401 || status === 403 ? '; its key may be wrong' : ''
}

/** What engines say in their errors: `error`, `detail`, `message`, or an object with one of them. */
function detailOf(body: unknown): string | undefined {
  if (!isObject(body)) return undefined
  for (const key of ['error', 'detail', 'message']) {
    const value = body[key]
    if (typeof value === 'string' && value !== '') {
      return redact(value.replace(/\s+/g, ' ').slice(0, 300))
    }
    const inner = key === 'message' ? undefined : detailOf(value)
    if (inner !== undefined) return inner
  }
  return undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Objects in a list, whatever else stands there; SearchError where there is no list. */
export function listOf(engine: string, value: unknown): Record<string, unknown>[] {
  if (!Array.isArray(value)) {
    throw new SearchError(`${engine} answered in a form that is not known here`)
  }
  return value.filter(isObject)
}

/** A string of a field; empty where it is none. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Strings of a list, in one. */
export function joined(value: unknown, separator: string): string {
  if (!Array.isArray(value)) return ''
  return value.filter((one) => typeof one === 'string' && one !== '').join(separator)
}

/** The query with `site:` operators, where the whole stays within `limit`; else as it is, and the caller's filter does. */
export function withSites(
  query: string,
  domains: readonly string[] | undefined,
  limit: number,
): string {
  if (domains === undefined) return query
  const sites = domains.map((domain) => `site:${domain}`).join(' OR ')
  const whole = `${query} ${domains.length > 1 ? `(${sites})` : sites}`
  return whole.length <= limit ? whole : query
}
