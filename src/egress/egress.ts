// The one gate of every URL that a client can influence. It judges by the text alone, strictly: what two parsers could read
// as two hosts is refused, so that whoever fetches it in the end reads what was judged here.
import { isPublicAddress, parseV4 } from './addresses.ts'
import { refusalOfName } from './names.ts'

export interface EgressPolicy {
  /**
   * `host`, `host:port` or `*.domain`, in lower case. Set: these alone, whatever they resolve to. Unset: every public address
   * and every name that is not known to be local.
   */
  allowHosts?: readonly string[] | undefined
  /** The same for servers of tools (MCP) alone, in place of `allowHosts`. */
  mcpHosts?: readonly string[] | undefined
}

/** What holds for servers of tools. */
export function mcpPolicy({ allowHosts, mcpHosts }: EgressPolicy = {}): EgressPolicy {
  return { allowHosts: mcpHosts ?? allowHosts }
}

/**
 * What becomes of the URL. `hand-on`: an upstream fetches it from its own network. `fetch`: we do, where a name cannot be
 * resolved first, so that only a listed one will do. `resolve`: we do, and the address behind the name is checked as well.
 */
export type UrlUse = 'hand-on' | 'fetch' | 'resolve'

const maxUrl = 8192
/** A body may be of that size anyway; one picture needs no more. */
const maxDataUrl = 24 * 1024 * 1024

/** Why a URL may not be used; undefined where it may. The text says nothing of the URL itself. */
export function refusalOf(
  url: string,
  policy: EgressPolicy = {},
  use: UrlUse = 'hand-on',
): string | undefined {
  if (/^data:/i.test(url)) return refusalOfData(url)
  if (url.length > maxUrl) return `it is longer than ${maxUrl} characters`
  // What parsers strip, or take for a slash, moves the border of the host.
  if (/[\p{Cc}\p{Cf}\p{Z}\\]/u.test(url)) {
    return 'it has spaces, control characters or backslashes'
  }
  const match = /^(https?):\/\/([^/?#]*)/i.exec(url)
  if (match === null) return 'it is not an http, https or data URL'
  const [, scheme = '', authority = ''] = match
  if (authority.includes('@')) return 'it carries a user name or password'
  const host = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(authority)
  if (host === null) {
    return 'its host is not written plainly (ASCII letters, digits, dots and dashes)'
  }
  if (!URL.canParse(url)) return 'it cannot be parsed'
  const name = (host[1] ?? '').toLowerCase()
  return refusalOfHost(name, host[2], scheme.toLowerCase(), policy, use)
}

function refusalOfHost(
  host: string,
  port: string | undefined,
  scheme: string,
  { allowHosts }: EgressPolicy,
  use: UrlUse,
): string | undefined {
  const name = host.endsWith('.') ? host.slice(0, -1) : host
  if (name === '' || name.endsWith('.')) return 'its host is no host name'
  const usual = scheme === 'https' ? '443' : '80'
  const isUsual = port === undefined || port === usual
  if (allowHosts !== undefined) {
    return isListed(name, isUsual ? undefined : port, allowHosts)
      ? undefined
      : 'its host is not on the list of the configuration (egress.allowHosts)'
  }
  if (!isUsual) return `its port is not ${usual}`
  if (name.startsWith('[')) {
    return isPublicAddress(name.slice(1, -1)) ? undefined : 'its host is not a public address'
  }
  if (isNumeric(name)) {
    const isPlain = parseV4(name) !== undefined && name === host
    return isPlain && isPublicAddress(name) ? undefined : 'its host is not a public address'
  }
  if (use === 'fetch') return 'its host is a name, and none is listed (egress.allowHosts)'
  return refusalOfName(name)
}

/** Some parser takes it for an IPv4 address: `2130706433`, `0x7f.1`, `127.1`. */
function isNumeric(host: string): boolean {
  return /^(?:0x[0-9a-f]*|\d+)$/.test(host.slice(host.lastIndexOf('.') + 1))
}

function isListed(name: string, port: string | undefined, hosts: readonly string[]): boolean {
  const told = port === undefined ? name : `${name}:${port}`
  return hosts.some((host) => {
    if (!host.startsWith('*.')) return host === told
    // A name alone: a wildcard says nothing of addresses.
    return told.endsWith(host.slice(1)) && !isNumeric(name) && refusalOfName(name) === undefined
  })
}

function refusalOfData(url: string): string | undefined {
  if (url.length > maxDataUrl) return `it is longer than ${maxDataUrl} characters`
  // The head alone: a picture's megabytes are the upstream's to judge.
  const head = /^data:([\w.+-]+\/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*(;base64)?,/i.exec(
    url.slice(0, 512),
  )
  if (head === null) return 'it is no data URL'
  const type = (head[1] ?? 'text/plain').toLowerCase()
  // They can name further URLs, which whoever renders them would fetch.
  return namesUrls(type) ? `it holds ${type}, which can name other URLs` : undefined
}

/** True for a media type whose readers fetch what it names: pages, styles, letters, playlists, everything in XML. */
export function namesUrls(type: string): boolean {
  return /^(?:image\/svg|text\/(?:html|css|xsl)|message\/|multipart\/)|[+/]xml(?:-|$)|xhtml|mpegurl|\/smil/.test(
    type,
  )
}
