// A GET to a URL that somebody else wrote: the name is resolved, every address that it stands for is checked, and the
// connection goes to the one that was checked. What the name resolves to a moment later changes nothing.
import { lookup } from 'node:dns/promises'
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isPublicAddress } from '../../src/egress/addresses.ts'
import { type EgressPolicy, refusalOf } from '../../src/egress/egress.ts'

export interface Address {
  address: string
  family: number
}

/** Addresses that a name stands for. */
export type Resolve = (host: string) => Promise<Address[]>

export interface PinnedGetOptions {
  policy?: EgressPolicy | undefined
  headers: OutgoingHttpHeaders
  signal: AbortSignal
  /** The system's resolver unless given. */
  resolve?: Resolve | undefined
}

/** Why a URL is not fetched. The message says nothing of the URL, so that each caller can name it its way. */
export class UrlRefused extends Error {}

const maxRedirects = 3

/** The answer with status 200 and the URL that gave it, after at most three redirects. Throws UrlRefused with the reason. */
export async function pinnedGet(
  url: string,
  options: PinnedGetOptions,
): Promise<{ response: IncomingMessage; url: string }> {
  let next = url
  for (let hop = 0; hop <= maxRedirects; hop++) {
    // Every hop is a URL that somebody else wrote.
    if (/^data:/i.test(next)) throw new UrlRefused('it leads to a data URL')
    const refusal = refusalOf(next, options.policy, 'resolve')
    if (refusal !== undefined) throw new UrlRefused(refusal)
    const target = new URL(next)
    const pin = await addressOf(target.hostname, options)
    const response = await get(target, pin, options)
    const { statusCode = 0, headers } = response
    if (statusCode === 200) return { response, url: next }
    response.destroy()
    const location = headers.location
    if (statusCode < 300 || statusCode >= 400 || location === undefined) {
      throw new UrlRefused(`it was answered with status ${statusCode}`)
    }
    if (!URL.canParse(location, target)) throw new UrlRefused('it redirects to what is no URL')
    next = new URL(location, target).href
  }
  throw new UrlRefused(`it redirects more than ${maxRedirects} times`)
}

/** The address to connect to: all that the name stands for must be public, unless its host is listed. Throws UrlRefused. */
export async function addressOf(
  hostname: string,
  { policy, resolve = resolveName, signal }: Omit<PinnedGetOptions, 'headers'>,
): Promise<Address> {
  const addresses = await unlessAborted(resolve(hostname.replace(/^\[|\]$/g, '')), signal)
  const first = addresses[0]
  if (first === undefined) throw new UrlRefused('its host has no address')
  const isListed = policy?.allowHosts !== undefined
  if (!isListed && !addresses.every(({ address }) => isPublicAddress(address))) {
    throw new UrlRefused('its host stands for an address that is not public')
  }
  return first
}

function resolveName(host: string): Promise<Address[]> {
  return lookup(host, { all: true })
}

/** A resolver cannot be told to stop. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function get(
  url: URL,
  pin: Address,
  { headers, signal }: PinnedGetOptions,
): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = send(url, {
      headers,
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
