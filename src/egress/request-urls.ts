// Finds every URL in a request that somebody could fetch, wherever it stands: a field is known by its name, so that one in
// a part, item or tool that this code has never heard of is found as well.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { type EgressPolicy, mcpPolicy, refusalOf, type UrlUse } from './egress.ts'

/** A URL and where it stands: `input[0].content[1].image_url`. */
export interface FoundUrl {
  url: string
  path: string
  /** The name of its field. */
  key: string
  /** Puts another URL in its place. */
  replace(url: string): void
}

/** `image_url`, `file_url`, `server_url`, `url`, `imageUrl`, `uri`, in any spelling. */
const urlKey = /(?:^|[\W_])ur[il]s?\W*$|[a-z]Ur[il]s?$/i

/** What holds bytes in base64 and in which some servers take a URL: `file_data`, the `data` of a sound, Qwen's `image`. */
const mediaKey = /^(?:file_data|data|src|(?:image|video|audio|file|media)s?(?:_(?:path|file))?)$/i

const scheme = /^\s*[a-z][a-z0-9+.-]*:/i

/**
 * What holds words and not requests: schemas and arguments may name any field, annotations and what a hosted tool once did
 * are records of the past.
 */
const wordKeys = new Set(
  'parameters schema input_schema arguments annotations metadata logprobs action results sources'.split(
    ' ',
  ),
)

/** Every URL in a value, in order. Strings outside such fields are text. */
export function findUrls(value: unknown, path = ''): FoundUrl[] {
  const found: FoundUrl[] = []
  collect(value, path, found)
  return found
}

function collect(value: unknown, path: string, found: FoundUrl[]): void {
  if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) {
      if (typeof each === 'object') collect(each, `${path}[${index}]`, found)
    }
    return
  }
  if (!isObject(value)) return
  for (const [key, each] of Object.entries(value)) {
    // Most fields are words; their path is never needed.
    if (typeof each === 'string') {
      if (!isUrl(key, each)) continue
      const replace = (url: string) => {
        value[key] = url
      }
      found.push({ url: each, path: pathOf(path, key), key, replace })
    } else if (typeof each !== 'object' || each === null || wordKeys.has(key)) continue
    else if (urlKey.test(key) || (mediaKey.test(key) && Array.isArray(each)))
      collectBelow(each, pathOf(path, key), key, found)
    else collect(each, pathOf(path, key), found)
  }
}

/** What stands below such a field: a list of URLs, an object that holds one, or both in each other. */
function collectBelow(value: object, path: string, key: string, found: FoundUrl[]): void {
  const isList = Array.isArray(value)
  for (const [name, each] of Object.entries(value)) {
    const at = isList ? `${path}[${name}]` : pathOf(path, name)
    const its = isList ? key : name
    if (typeof each === 'string') {
      if (!isUrl(its, each) && !scheme.test(each)) continue
      const replace = (url: string) => {
        Reflect.set(value, name, url)
      }
      found.push({ url: each, path: at, key: its, replace })
    } else if (typeof each === 'object' && each !== null && !wordKeys.has(its)) {
      collectBelow(each, at, its, found)
    }
  }
}

function pathOf(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

/** Bytes in base64 are no URL; everything with a scheme is. */
function isUrl(key: string, value: string): boolean {
  return urlKey.test(key) || (mediaKey.test(key) && scheme.test(value))
}

/** Where a tool names its server: servers have a list of hosts of their own. */
const serverUrl = /^tools\[\d+\]\.server_url$/

/** Whoever may be asked for tools is the configuration's business: what it would have to say, with the port that counts. */
function remedyFor(url: string): string {
  const host = URL.canParse(url) ? new URL(url).host : ''
  // One whose form alone is refused is refused with every list.
  if (refusalOf(url, { allowHosts: [host, host.replace(/:\d+$/, '')] }) !== undefined) return ''
  return host === ''
    ? ''
    : ` To allow it, list '${host}' under 'egress.mcpHosts' in the configuration.`
}

/** Throws ApiError 400 that names the first field whose URL may not be used. */
export function checkUrls(
  request: ResponsesRequest,
  policy: EgressPolicy | undefined,
  use: UrlUse = 'hand-on',
): void {
  for (const { url, path } of findUrls(request)) {
    const isServer = serverUrl.test(path)
    const refusal = refusalOf(url, isServer ? mcpPolicy(policy) : policy, use)
    if (refusal === undefined) continue
    const message = isServer
      ? `${refusal.replace('egress.allowHosts', 'egress.mcpHosts')}.${remedyFor(url)}`
      : `${refusal}.`
    throw new ApiError('invalid_value', `The URL in '${path}' is refused: ${message}`, {
      param: path,
    })
  }
}
