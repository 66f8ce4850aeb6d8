// web_search as OpenAI's clients see it: how a request declares the tool, and the item that tells of a call. Pure.
// https://platform.openai.com/docs/guides/tools-web-search
import { z } from 'zod'
import { ApiError } from '../errors.ts'
import { isObject, pathToParam } from '../protocol/check.ts'
import { wordsOf } from '../protocol/issue-words.ts'
import type { HostedCall, HostedResult, WebSearchSettings } from './hosted.ts'

export const webSearchTypes: ReadonlySet<string> = new Set([
  'web_search',
  'web_search_2025_08_26',
  'web_search_preview',
  'web_search_preview_2025_03_11',
])

const text = z.string().max(256).nullish()
const domain = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/i,
    'expected a host name such as example.com, without scheme, port or path',
  )

const toolSchema = z.looseObject({
  // Closed: a filter that is not known here would be a promise that nobody keeps.
  filters: z.strictObject({ allowed_domains: z.array(domain).min(1).max(100).nullish() }).nullish(),
  user_location: z
    .looseObject({
      type: z.literal('approximate').nullish(),
      city: text,
      region: text,
      timezone: text,
      country: z
        .string()
        .regex(/^[A-Za-z]{2}$/, 'expected a country code of two letters')
        .nullish(),
    })
    .nullish(),
  search_context_size: z.enum(['low', 'medium', 'high']).nullish(),
  search_content_types: z.array(z.enum(['text', 'image'])).nullish(),
  external_web_access: z.boolean().nullish(),
})

/** What the declaration of the tool asks for. Throws ApiError with the field at fault; `path` is where the tool stands. */
export function parseWebSearchTool(
  tool: Readonly<Record<string, unknown>>,
  path: string,
): WebSearchSettings {
  const { data, error } = toolSchema.safeParse(tool)
  if (data === undefined) {
    const issue = error.issues[0]
    // zod tells of an unknown key at the object that has it.
    const keys = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
    const param = pathToParam([path, ...(issue?.path ?? []), ...keys])
    const reason =
      keys.length > 0 || issue === undefined ? 'it is not known here' : wordsOf(issue, tool)
    throw new ApiError('invalid_value', `Invalid value for '${param}': ${reason}.`, { param })
  }
  const settings: WebSearchSettings = {}
  const { filters, user_location, search_context_size, external_web_access } = data
  if (filters?.allowed_domains) {
    settings.allowedDomains = filters.allowed_domains.map((name) => name.toLowerCase())
  }
  if (user_location) settings.userLocation = locationOf(user_location)
  if (search_context_size) settings.contextSize = search_context_size
  if (external_web_access === false) settings.offline = true
  return settings
}

type Location = NonNullable<WebSearchSettings['userLocation']>

function locationOf(told: Record<string, unknown>): Location {
  const location: Location = {}
  for (const key of ['city', 'region', 'country', 'timezone'] as const) {
    const value = told[key]
    if (typeof value === 'string' && value !== '') location[key] = value
  }
  return location
}

/** True where the host of a URL is one of the domains or below one; without domains, every host is. */
export function isInDomains(url: string, domains: readonly string[] | undefined): boolean {
  if (domains === undefined) return true
  if (!URL.canParse(url)) return false
  const host = new URL(url).hostname.replace(/\.$/, '')
  return domains.some((name) => host === name || host.endsWith(`.${name}`))
}

export type WebSearchAction =
  | { type: 'search'; query: string; queries: string[]; sources?: { type: 'url'; url: string }[] }
  | { type: 'open_page'; url: string | null }
  | { type: 'find_in_page'; url: string; pattern: string }

export interface WebSearchCallItem {
  type: 'web_search_call'
  id: string
  status: 'in_progress' | 'searching' | 'completed' | 'failed'
  action: WebSearchAction
}

/** The value of `include` that asks for the sources of a search. */
export const sourcesInclude = 'web_search_call.action.sources'

export interface WebSearchItemOptions {
  id: string
  call: Pick<HostedCall, 'action' | 'arguments'>
  /** Unset while the call runs. */
  result?: Pick<HostedResult, 'isError' | 'sources'> | undefined
  /** The request's `include`. */
  include?: readonly string[] | null | undefined
}

/** The item of a call, while it runs and after. */
export function webSearchItem({
  id,
  call,
  result,
  include,
}: WebSearchItemOptions): WebSearchCallItem {
  const status = result === undefined ? 'in_progress' : result.isError ? 'failed' : 'completed'
  return { type: 'web_search_call', id, status, action: actionOf(call, result, include ?? []) }
}

function actionOf(
  { action, arguments: given }: Pick<HostedCall, 'action' | 'arguments'>,
  result: WebSearchItemOptions['result'],
  include: readonly string[],
): WebSearchAction {
  // The page that the call showed; before the answer, what the model asked for, where that is a URL.
  const shown = result?.sources?.[0]?.url
  if (action === 'open') {
    const asked = typeof given.id === 'string' && URL.canParse(given.id) ? given.id : null
    return { type: 'open_page', url: shown ?? asked }
  }
  if (action === 'find') {
    return { type: 'find_in_page', url: shown ?? '', pattern: stringOf(given.pattern) }
  }
  const query = stringOf(given.query)
  const search: WebSearchAction = { type: 'search', query, queries: [query] }
  if (result !== undefined && include.includes(sourcesInclude)) {
    const urls = new Set((result.sources ?? []).map(({ url }) => url))
    search.sources = [...urls].map((url) => ({ type: 'url', url }))
  }
  return search
}

/** A model may write anything where a string should be. */
function stringOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || isObject(value) ? '' : String(value)
}
