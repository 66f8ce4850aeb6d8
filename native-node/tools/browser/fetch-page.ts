// Fetches a page for the model: through the egress gate at every hop, to the address that was checked, without cookies, and
// bounded in bytes (decoded ones: a compressed bomb is no larger than a page) and time.
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { EgressPolicy } from '../../../src/egress/egress.ts'
import { isInDomains } from '../../../src/tools/web-search-items.ts'
import { pinnedGet, type Resolve, UrlRefused } from '../../server/pinned-get.ts'
import { type Document, DocumentError, kindOf } from './document-text.ts'

export interface FetchPageOptions {
  policy: EgressPolicy | undefined
  signal: AbortSignal
  resolve?: Resolve | undefined
  /** Where a redirect leads must be one of these, too. */
  allowedDomains?: readonly string[] | undefined
}

export interface FetchedPage extends Document {
  /** The body was longer than what was read. */
  isCut: boolean
}

const maxBytes = 5 * 1024 * 1024
const fetchMs = 15_000

/** A page as it was sent. Throws DocumentError with a reason for the model. */
export async function fetchPage(
  url: string,
  { policy, signal: outer, resolve, allowedDomains }: FetchPageOptions,
): Promise<FetchedPage> {
  const signal = AbortSignal.any([outer, AbortSignal.timeout(fetchMs)])
  try {
    const { response, url: final } = await pinnedGet(url, {
      policy,
      resolve,
      signal,
      headers: {
        'user-agent': 'switchyard-browser/1.0',
        accept: 'text/html, text/markdown, text/plain, application/json;q=0.9, */*;q=0.1',
        'accept-language': 'en, *;q=0.5',
        'accept-encoding': 'gzip, deflate, br',
      },
    })
    return await readPage(response, final, allowedDomains)
  } catch (thrown) {
    outer.throwIfAborted()
    if (thrown instanceof DocumentError) throw thrown
    if (thrown instanceof UrlRefused) throw new DocumentError(thrown.message)
    if (signal.aborted) throw new DocumentError(`it took longer than ${fetchMs / 1000} s`)
    throw new DocumentError('it could not be fetched', { cause: thrown })
  }
}

async function readPage(
  response: IncomingMessage,
  url: string,
  allowedDomains: readonly string[] | undefined,
): Promise<FetchedPage> {
  try {
    if (!isInDomains(url, allowedDomains)) {
      throw new DocumentError('it redirects to a domain that the request does not allow')
    }
    const contentType = response.headers['content-type'] ?? ''
    kindOf(contentType)
    const { bytes, isCut } = await readBody(response)
    return { url, contentType, bytes, isCut }
  } finally {
    response.destroy()
  }
}

async function readBody(response: IncomingMessage): Promise<{ bytes: Buffer; isCut: boolean }> {
  const body = decoded(response)
  const pieces: Buffer[] = []
  let length = 0
  let isCut = false
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece)
      length += piece.byteLength
      isCut = length > maxBytes
      if (isCut) break
    }
  } finally {
    body.destroy()
  }
  return { bytes: Buffer.concat(pieces).subarray(0, maxBytes), isCut }
}

function decoded(response: IncomingMessage): Readable {
  const encoding = (response.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  const decoder = decoderOf(encoding)
  if (decoder === undefined) return response
  // A break of the connection has to reach who reads, and an end of the reading the connection.
  response.on('error', (thrown) => decoder.destroy(thrown))
  response.on('aborted', () => decoder.destroy(new Error('the connection broke')))
  decoder.on('close', () => response.destroy())
  return response.pipe(decoder)
}

function decoderOf(encoding: string) {
  switch (encoding) {
    case '':
    case 'identity':
      return undefined
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      return createInflate()
    case 'br':
      return createBrotliDecompress()
    default:
      throw new DocumentError(`it is compressed in a way that is not known here`)
  }
}
