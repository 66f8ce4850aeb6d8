// Reads a client's JSON body without trusting it: size while reading, depth before parsing (a deep value parses, but
// overflows the stack when it is written again), keys that could reach a prototype, numbers that are none.
import { ApiError } from './errors.ts'

const maxDepth = 64
const maxKeys = 100_000
/** Read and forgotten beyond the limit: a client that is answered while it still writes may see a reset and no answer. */
const spareBytes = 32 * 1024 * 1024

/** For bodies in one piece, which leave nothing in it. */
const wholeDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/** Reads and parses a request's body; throws ApiError 413, 415 or 400 `invalid_json`. `see` is told its text. */
export async function readJson(
  request: Request,
  maxBytes: number,
  see?: (text: string) => void,
): Promise<unknown> {
  const type = request.headers.get('content-type') ?? ''
  const mediaType = (type.split(';', 1)[0] ?? '').trim().toLowerCase()
  if (mediaType !== 'application/json' && !mediaType.endsWith('+json')) {
    throw new ApiError('unsupported_media_type', 'The content-type must be application/json.')
  }
  try {
    const text = await readText(request, maxBytes)
    see?.(text)
    return parseJson(text)
  } catch (thrown) {
    throw compressed(request, thrown) ?? thrown
  }
}

/** Bytes that cannot be read are likely what their header says. */
function compressed({ headers }: Request, thrown: unknown): ApiError | undefined {
  const encoding = headers.get('content-encoding') ?? 'identity'
  const unread = thrown instanceof ApiError && thrown.code === 'invalid_json'
  if (!unread || /^\s*(?:identity)?\s*$/i.test(encoding)) return undefined
  return new ApiError(
    'unsupported_media_type',
    `Send the body as it is: the content-encoding '${encoding.slice(0, 100)}' is not read here.`,
  )
}

/**
 * A declared length bounds the body: HTTP delivers no more than it, and less is a broken request. So the body is read in one
 * piece, which in workerd costs a third of reading it through a stream. Without one, bytes are counted as they come.
 */
async function readText(request: Request, maxBytes: number): Promise<string> {
  const tooLarge = () =>
    new ApiError('body_too_large', `The request body is larger than ${maxBytes} bytes.`)
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge()
  if (declared !== null && /^\d+$/.test(declared)) {
    const bytes = await request.arrayBuffer().catch(cutShort)
    if (bytes.byteLength > maxBytes) throw tooLarge()
    return decode(wholeDecoder, bytes, false)
  }
  if (request.body === null) return ''
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })
  const reader = request.body.getReader()
  const chunks: string[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read().catch(cutShort)
    if (done) break
    bytes += value.byteLength
    if (bytes > maxBytes + spareBytes) await reader.cancel().catch(() => {})
    if (bytes > maxBytes) chunks.length = 0
    else chunks.push(decode(decoder, value, true))
  }
  if (bytes > maxBytes) throw tooLarge()
  chunks.push(decode(decoder, new Uint8Array(), false))
  return chunks.join('')
}

/** The client ended its body before it was whole: nobody's fault but its own. */
function cutShort(cause: unknown): never {
  throw new ApiError('invalid_json', 'The request body ended before it was complete.', { cause })
}

function decode(decoder: TextDecoder, bytes: Uint8Array | ArrayBuffer, stream: boolean): string {
  try {
    return decoder.decode(bytes, { stream })
  } catch (cause) {
    throw new ApiError('invalid_json', 'The request body is not valid UTF-8.', { cause })
  }
}

/** Parses a request's text; throws ApiError 400 `invalid_json`. */
export function parseJson(text: string): unknown {
  try {
    return parseStrictly(text)
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error
    const message = `We could not parse the JSON body of your request: it ${error.message}.`
    throw new ApiError('invalid_json', message)
  }
}

/** Text that is not the JSON it should be; the message goes on after "it". */
export class JsonFault extends Error {}

/** Parses any text from outside; throws JsonFault. */
export function parseStrictly(text: string): unknown {
  const keys = scan(text)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw invalid(text.trim() === '' ? 'is empty' : `is not valid JSON${whatAndWhere(cause)}`)
  }
  // The bytes were valid UTF-8, so that only an escape can make half of a pair.
  const escapes = text.includes('\\ud') || text.includes('\\uD')
  const seen = inspect(value, escapes, true)
  // JSON.parse keeps the last of equal keys; another reader may keep the first, and mean something else.
  if (seen !== keys) throw invalid('has a key twice in one object')
  return value
}

/** The parser's own words, which tell the place; they quote no more than a few characters of the text. */
function whatAndWhere(cause: unknown): string {
  return cause instanceof SyntaxError ? ` (${cause.message.slice(0, 200)})` : ''
}

function invalid(reason: string): JsonFault {
  return new JsonFault(reason)
}

const quote = 34
const backslash = 92

/** One pass before parsing: depth and number of keys. Gives the latter. */
function scan(text: string): number {
  let depth = 0
  let keys = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      at = stringEnd(text, at)
    } else if (code === 123 || code === 91) {
      if (++depth > maxDepth) throw invalid(`is nested deeper than ${maxDepth} levels`)
    } else if (code === 125 || code === 93) {
      depth--
    } else if (code === 58 && ++keys > maxKeys) {
      throw invalid(`has more than ${maxKeys} keys`)
    }
  }
  return keys
}

/** Index of the closing quote; the end of the text where there is none (JSON.parse then refuses it). */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at)
    if (at === -1) return text.length
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === backslash) slashes++
    if (slashes % 2 === 0) return at
  }
}

const loneSurrogate = /\p{Surrogate}/u

/** Looks at every key, string and number; gives the number of keys. Depth is bounded by the scan. */
function inspect(value: unknown, escapes: boolean, top: boolean): number {
  if (typeof value === 'string') {
    if (escapes && loneSurrogate.test(value))
      throw invalid('has half of a surrogate pair in a string')
    return 0
  }
  // What JSON.parse makes of 1e400.
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    throw invalid('has a number that is out of range')
  }
  if (typeof value !== 'object' || value === null) return 0
  let keys = 0
  if (Array.isArray(value)) {
    for (const element of value) keys += inspect(element, escapes, false)
    return keys
  }
  for (const key in value) {
    const element: unknown = Reflect.get(value, key)
    // A tool's schema may well have a property named `constructor`; a request may not.
    if (key === '__proto__' || (top && (key === 'constructor' || key === 'prototype'))) {
      throw invalid(`has the key '${key}'`)
    }
    if (escapes && loneSurrogate.test(key)) throw invalid('has half of a surrogate pair in a key')
    keys += 1 + inspect(element, escapes, false)
  }
  return keys
}
