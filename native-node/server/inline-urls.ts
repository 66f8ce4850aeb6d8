// Pictures and files that a request names by URL, fetched by the node and handed to its engine as data. An engine sits in
// its owner's network and would fetch anything from there. So the node resolves the name, checks every address that it
// stands for, and connects to the one that it checked: what resolves to another address a moment later changes nothing.
import { lookup } from 'node:dns/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isPublicAddress } from '../../src/egress/addresses.ts'
import { type EgressPolicy, namesUrls, refusalOf } from '../../src/egress/egress.ts'
import { type FoundUrl, findUrls } from '../../src/egress/request-urls.ts'
import { ApiError } from '../../src/errors.ts'

export interface InlineOptions {
  policy?: EgressPolicy | undefined
  signal: AbortSignal
  /** Addresses that a name stands for; the system's resolver unless given. */
  resolve?: (host: string) => Promise<Address[]>
}

export interface Address {
  address: string
  family: number
}

const maxUrls = 32
const maxBytes = 20 * 1024 * 1024
const maxTotalBytes = 32 * 1024 * 1024
const maxRedirects = 3
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
  options: InlineOptions,
): Promise<{ type: string; bytes: Buffer }> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(fetchMs)])
  let next = url
  try {
    for (let hop = 0; hop <= maxRedirects; hop++) {
      // Every hop is a URL that somebody else wrote.
      check(next, path, options.policy)
      const target = new URL(next)
      const pin = await addressOf(target.hostname, path, options)
      const response = await get(target, pin, signal)
      const { statusCode = 0, headers } = response
      if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
        response.destroy()
        next = new URL(headers.location, target).href
        continue
      }
      if (statusCode !== 200) {
        response.destroy()
        throw refused(path, `it was answered with status ${statusCode}`)
      }
      return await read(response, path)
    }
  } catch (thrown) {
    if (options.signal.aborted) throw options.signal.reason
    if (thrown instanceof ApiError) throw thrown
    throw refused(path, 'it could not be fetched', thrown)
  }
  throw refused(path, `it redirects more than ${maxRedirects} times`)
}

/** The address to connect to: all that the name stands for must be public, unless its host is listed. */
async function addressOf(
  hostname: string,
  path: string,
  { policy, resolve = resolveName }: InlineOptions,
): Promise<Address> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const addresses = await resolve(host)
  const first = addresses[0]
  if (first === undefined) throw refused(path, 'its host has no address')
  const isListed = policy?.allowHosts !== undefined
  if (!isListed && !addresses.every(({ address }) => isPublicAddress(address))) {
    throw refused(path, 'its host stands for an address that is not public')
  }
  return first
}

function resolveName(host: string): Promise<Address[]> {
  return lookup(host, { all: true })
}

function get(url: URL, pin: Address, signal: AbortSignal): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = send(url, {
      headers: {
        accept: 'image/*, video/*, audio/*, application/pdf',
        'accept-encoding': 'identity',
      },
      agent: false,
      signal,
      // The name stays in Host and in the certificate; the address is the one that was checked.
      lookup: (_host, { all }, done) =>
        all ? done(null, [pin]) : done(null, pin.address, pin.family),
    })
    request.on('response', resolve)
    request.on('error', reject)
    request.end()
  })
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
