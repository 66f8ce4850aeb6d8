// Which host names may lead out. A name cannot be resolved here; what can be said of it is whether it is one of a local
// network, one that anybody may point anywhere, or one that spells a private address.
import { isPublicV4 } from './addresses.ts'

/** Last labels that the public DNS does not have: resolved by a machine, a network or a cluster for itself. */
const localEndings = [
  'localhost local localdomain localdomain6 internal intranet lan home homenet corp private test example invalid',
  'onion alt arpa workgroup domain router belkin dlink docker kube cluster consul svc mshome',
].flatMap((line) => line.split(' '))

/** Names of the public DNS below which any address can be had, a private one too, or which stand for this machine. */
const wildcardDomains = [
  'nip.io sslip.io xip.io xip.name traefik.me backname.io ip.addr.tools plex.direct local-ip.co local-ip.sh',
  'local-ip.medicmobile.org localcert.net localhostcert.net localtest.me lvh.me vcap.me lacolhost.com 42foo.com',
  'smackaho.st ulh.us fuf.me localho.st local.gd yoogle.com beweb.com localhost.direct localdev.me lcl.host',
  'rbndr.us 1u.ms ts.net rebind.network rebind.it localdomain.pw spoofed.burpcollaborator.net bugbounty.dod.network',
  // Metadata services of clouds, by name.
  'metadata.tencentyun.com metadata.packet.net metadata.platformequinix.com',
].flatMap((line) => line.split(' '))

/** Why a name may not be handed on; undefined where nothing speaks against it. `name` is in lower case, without a last dot. */
export function refusalOfName(name: string): string | undefined {
  const labels = name.split('.')
  const isName = labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  if (!isName || name.length > 253) return 'its host is no host name'
  const last = labels.at(-1) ?? ''
  if (labels.length < 2) return 'its host is a name of a local network'
  if (!/^(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})$/.test(last)) return 'its host is no host name'
  if (localEndings.includes(last)) return 'its host is a name of a local network'
  if (wildcardDomains.some((domain) => name === domain || name.endsWith(`.${domain}`))) {
    return 'anybody can point its host at a private address'
  }
  if (spellsPrivate(name)) return 'its host spells a private address'
  return undefined
}

/** `10-0-0-1.example.com`, `10.0.0.1.example.com`, `7f000001.example.com`: services of that kind come and go faster than a list of them. */
function spellsPrivate(name: string): boolean {
  if (/(?:^|\.)(?:0x[0-9a-f]{1,8}|7f0000\d\d|a9fea9fe)\./.test(name)) return true
  for (const match of name.matchAll(
    /(?<![0-9a-z])(?=(\d{1,3})([.-])(\d{1,3})\2(\d{1,3})\2(\d{1,3})(?![0-9a-z]))/g,
  )) {
    const bytes = [match[1], match[3], match[4], match[5]].map(Number)
    if (bytes.every((byte) => byte <= 255) && !isPublicV4(bytes)) return true
  }
  return false
}
