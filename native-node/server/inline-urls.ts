// Pictures and files that a request names by URL, fetched by the node and handed to its engine as data. An engine sits in
// its owner's network and would fetch anything from there. So the node resolves the name, checks every address that it
// stands for, and connects to the one that it checked: what resolves to another address a moment later changes nothing.
import type { IncomingMessage } from 'node:http'
import { type EgressPolicy, namesUrls, refusalOf } from '../../src/egress/egress.ts'
import { type FoundUrl, findUrls } from '../../src/egress/request-urls.ts'
import { ApiError } from '../../src/errors.ts'
import { pinnedGet, type Resolve, UrlRefused } from './pinned-get.ts'

export interface InlineOptions {
  policy?: EgressPolicy | undefined
  signal: AbortSignal
  /** Addresses that a name stands for; the system's resolver unless given. */
  resolve?: Resolve
}

const maxUrls = 32
const maxBytes = 20 * 1024 * 1024
const maxTotalBytes = 32 * 1024 * 1024
const fetchMs = 20_000

/** Media that models take; what could name further URLs (SVG, HTML) is none of them. */
const mediaType = /^(?:image\/[\w.+-]+|(?:audio|video)\/[\w.+-]+|application\/pdf|text\/plain)$/

/** The body with data in place of every URL; the body itself where it names none. Throws ApiError with the field at fault. */
export async function inlineUrls(
  body: Record<string, unknown>,
  options: InlineOptions,
): Promise<Record<string, unknown>> {
  if (findUrls(body).every(isData)) {
    for (const { url, path } of findUrls(body)) check(url, path, options.policy)
    return body
  }
  const copy = structuredClone(body)
  const urls = findUrls(copy)
  if (urls.length > maxUrls) {
    throw refused(urls[maxUrls]?.path ?? '', `the request names more than ${maxUrls} URLs`)
  }
  let total = 0
  for (const found of urls) {
    check(found.url, found.path, options.policy)
    if (isData(found)) continue
    if (!inlinedKeys.has(found.key)) throw refused(found.path, 'this model takes no such URL')
    const { type, bytes } = await fetchPinned(found, options)
    total += bytes.byteLength
    if (total > maxTotalBytes) throw refused(found.path, 'the request names too much data')
    found.replace(`data:${type};base64,${bytes.toString('base64')}`)
  }
  return copy
}

/** Fields whose engines take data as well; behind any other an engine would fetch for itself. */
const inlinedKeys = new Set(['image_url', 'video_url', 'audio_url', 'url', 'file_data'])

function isData({ url }: { url: string }): boolean {
  return /^data:/i.test(url)
}

function check(url: string, path: string, policy: EgressPolicy | undefined): void {
  const refusal = refusalOf(url, policy, 'resolve')
  if (refusal !== undefined) throw refused(path, refusal)
}

function refused(path: string, why: string, cause?: unknown): ApiError {
  return new ApiError('invalid_value', `The URL in '${path}' is refused: ${why}.`, {
    param: path,
    cause,
  })
}

async function fetchPinned(
  { url, path }: FoundUrl,
  { policy, resolve, signal: outer }: InlineOptions,
): Promise<{ type: string; bytes: Buffer }> {
  const signal = AbortSignal.any([outer, AbortSignal.timeout(fetchMs)])
  const headers = {
    accept: 'image/*, video/*, audio/*, application/pdf',
    'accept-encoding': 'identity',
  }
  try {
    const { response } = await pinnedGet(url, { policy, resolve, signal, headers })
    return await read(response, path)
  } catch (thrown) {
    if (outer.aborted) throw outer.reason
    if (thrown instanceof ApiError) throw thrown
    if (thrown instanceof UrlRefused) throw refused(path, thrown.message)
    throw refused(path, 'it could not be fetched', thrown)
  }
}

async function read(
  response: IncomingMessage,
  path: string,
): Promise<{ type: string; bytes: Buffer }> {
  const type = (response.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (!mediaType.test(type) || namesUrls(type)) {
    response.destroy()
    throw refused(path, 'it holds no picture, sound, video, PDF or text')
  }
  const pieces: Buffer[] = []
  let length = 0
  // Leaving the loop destroys the response.
  for await (const piece of response as AsyncIterable<Buffer>) {
    length += piece.byteLength
    if (length > maxBytes) throw refused(path, `it is larger than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  return { type, bytes: Buffer.concat(pieces) }
}
