// Which IP addresses are out on the public internet. Everything else is somebody's inside: a machine, its network, a cloud's
// metadata service. https://www.iana.org/assignments/iana-ipv4-special-registry, …ipv6-special-registry

/** [first address, length of the prefix] */
type Range = readonly [address: string, bits: number]

const refusedV4: readonly Range[] = [
  ['0.0.0.0', 8], // this network; Linux takes it for loopback
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // carrier-grade NAT; Tailscale; Alibaba's metadata at 100.100.100.200
  ['127.0.0.0', 8], // loopback
  ['168.63.129.16', 32], // Azure's wire server, inside every virtual machine
  ['169.254.0.0', 16], // link-local; metadata of nearly every cloud at 169.254.169.254
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments; Oracle's metadata at 192.0.0.192
  ['192.0.2.0', 24], // documentation
  ['192.31.196.0', 24], // AS112
  ['192.52.193.0', 24], // AMT
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['192.175.48.0', 24], // AS112
  ['198.18.0.0', 15], // benchmarking
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, and broadcast
]

/** Within 2000::/3, the only global unicast space: what is a tunnel, a translation or documentation. */
const refusedV6: readonly Range[] = [
  ['2001::', 23], // protocol assignments: Teredo, ORCHID, benchmarking
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4: an IPv4 address in disguise
  ['2620:4f:8000::', 48], // AS112
  ['3fff::', 20], // documentation
]

/** The four bytes of a canonical dotted address; undefined for anything else (`127.1`, `0177.0.0.1`). */
export function parseV4(text: string): number[] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  const parts = match?.slice(1) ?? []
  const isPlain = parts.every((part) => String(Number(part)) === part && Number(part) <= 255)
  return parts.length === 4 && isPlain ? parts.map(Number) : undefined
}

/** The eight groups of an IPv6 address without brackets or zone; undefined where it is none. */
export function parseV6(text: string): number[] | undefined {
  const dotted = /^(.*:)(\d{1,3}(?:\.\d{1,3}){3})$/.exec(text)
  const v4 = dotted?.[2] === undefined ? undefined : parseV4(dotted[2])
  if (dotted !== null && v4 === undefined) return undefined
  const tail = v4 === undefined ? '' : v4Groups(v4)
  const whole = dotted === null ? text : `${dotted[1]}${tail}`
  const halves = whole.split('::')
  if (halves.length > 2) return undefined
  const groupsOf = (half: string) => (half === '' ? [] : half.split(':'))
  const [head = [], rest] = halves.map(groupsOf)
  const missing = 8 - head.length - (rest?.length ?? 0)
  if (rest === undefined ? missing !== 0 : missing < 1) return undefined
  const groups = [...head, ...Array<string>(missing).fill('0'), ...(rest ?? [])]
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return groups.map((group) => Number.parseInt(group, 16))
}

function v4Groups([a = 0, b = 0, c = 0, d = 0]: readonly number[]): string {
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}

/** True for an IPv4 or IPv6 address, in canonical form, that is on the public internet. */
export function isPublicAddress(text: string): boolean {
  const v4 = parseV4(text)
  if (v4 !== undefined) return isPublicV4(v4)
  const v6 = parseV6(text)
  if (v6 === undefined) return false
  const [first = 0] = v6
  if (first < 0x2000 || first > 0x3fff) return false
  // ISATAP carries an IPv4 address in an interface's id.
  if ((v6[4] === 0 || v6[4] === 0x0200) && v6[5] === 0x5efe) return false
  return !v6Table.some(({ groups, bits }) => samePrefix(v6, groups, bits, 16))
}

/** The same for the four bytes of an IPv4 address. */
export function isPublicV4(bytes: readonly number[]): boolean {
  return !v4Table.some(({ groups, bits }) => samePrefix(bytes, groups, bits, 8))
}

const v4Table = refusedV4.map(([text, bits]) => ({ groups: parseV4(text) ?? [], bits }))
const v6Table = refusedV6.map(([text, bits]) => ({ groups: parseV6(text) ?? [], bits }))

function samePrefix(
  address: readonly number[],
  range: readonly number[],
  bits: number,
  width: number,
): boolean {
  for (let at = 0, left = bits; left > 0; at++, left -= width) {
    const shift = Math.max(0, width - left)
    if ((address[at] ?? 0) >> shift !== (range[at] ?? 0) >> shift) return false
  }
  return true
}
