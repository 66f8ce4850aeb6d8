// Approvals of calls. A request for one carries, sealed in its id, what exactly it is for: the client can keep it, lose it or
// send it back, and change nothing. One approval is good for one call within an hour.
import { ApiError } from '../../errors.ts'
import { isObject } from '../../protocol/check.ts'
import type { Seal } from '../../seal.ts'
import type { Claims } from './claims.ts'
import { type McpTool, sha256, toolHash } from './tool-list.ts'

export interface ApprovalHost {
  /**
   * Of the tenant: another tenant's ids do not open. A host without a lasting secret gives one of its process's own; then an
   * approval counts only where it was asked for, and not after a restart.
   */
  seal: Seal
  claims: Claims
  /** Milliseconds since the epoch. */
  now: () => number
  random: (bytes: number) => Uint8Array
}

/** What a call is approved for. */
export interface ApprovalSubject {
  label: string
  url: string
  /** As the server lists it now; undefined where it does not. */
  tool: McpTool | undefined
  name: string
  /** The arguments' text, to the letter. */
  arguments: string
}

/** The response that a call is made in. */
export interface Origin {
  response: string
  conversation: string | undefined
  /** The responses that it goes on from, in order; undefined where it names none. */
  chain: readonly string[] | undefined
}

export interface ApprovalRequest {
  id: string
  server_label: string
  name: string
  arguments: string
}

export const approvalMs = 3_600_000

const prefix = 'mcpr_'
/** How texts of our seal begin: the id needs no mark of its own beside it. */
const sealPrefix = 'sy1.'
const nonceBytes = 16
const timeBytes = 6
const hashBytes = 12
/** In the order of their hashes. */
const parts = ['server', 'name', 'arguments', 'tool'] as const
/** Behind them: the response and the conversation that it was asked for in. */
const originParts = 2
const idBytes = nonceBytes + timeBytes + (parts.length + originParts) * hashBytes

export class Approvals {
  readonly #host: ApprovalHost

  constructor(host: ApprovalHost) {
    this.#host = host
  }

  /** A new id for an `mcp_approval_request` about this call. */
  async request(subject: ApprovalSubject, origin: Origin): Promise<string> {
    const bytes = new Uint8Array(idBytes)
    bytes.set(this.#host.random(nonceBytes))
    const end = this.#host.now() + approvalMs
    for (let at = 0; at < timeBytes; at++) {
      bytes[nonceBytes + at] = Math.floor(end / 256 ** (timeBytes - 1 - at)) % 256
    }
    const { response, conversation = '' } = origin
    const hashes = [
      ...(await hashesOf(subject)),
      await hashOf(response),
      await hashOf(conversation),
    ]
    for (const [index, hash] of hashes.entries()) {
      bytes.set(hash, nonceBytes + timeBytes + index * hashBytes)
    }
    const sealed = await this.#host.seal.seal('approval', bytes)
    return prefix + sealed.slice(sealPrefix.length)
  }

  /**
   * Throws ApiError with `param` unless this id was given for exactly this call, where the response says so in the conversation
   * or the chain of responses that it goes on from, and still counts.
   */
  async check(id: string, subject: ApprovalSubject, origin: Origin, param: string): Promise<void> {
    const { end, hashes } = await this.#open(id, param)
    if (end <= this.#host.now()) throw refused(param, 'it is older than an hour')
    if (subject.tool === undefined) throw refused(param, 'the server no longer has this tool')
    const [response, conversation] = hashes.slice(parts.length)
    await checkOrigin(origin, { response, conversation }, param)
    const now = await hashesOf(subject)
    for (const [index, part] of parts.entries()) {
      if (!isSame(hashes[index], now[index])) throw refused(param, changes[part])
    }
  }

  /** Uses the approval up, right before its call; throws ApiError where that has happened before. */
  async spend(id: string, param: string): Promise<void> {
    const { end, nonce } = await this.#open(id, param)
    const left = end - this.#host.now()
    if (left <= 0) throw refused(param, 'it is older than an hour')
    if (await this.#host.claims.claim(`approval ${nonce}`, left)) return
    throw refused(param, 'it was used before')
  }

  async #open(id: string, param: string) {
    const bytes = id.startsWith(prefix)
      ? await this.#host.seal.open('approval', sealPrefix + id.slice(prefix.length))
      : undefined
    if (bytes?.length !== idBytes) {
      throw refused(param, 'its request was not made here, or not for this caller')
    }
    const time = bytes.subarray(nonceBytes, nonceBytes + timeBytes)
    return {
      nonce: hex(bytes.subarray(0, nonceBytes)),
      end: time.reduce((sum, byte) => sum * 256 + byte, 0),
      hashes: Array.from({ length: parts.length + originParts }, (_, index) => {
        const from = nonceBytes + timeBytes + index * hashBytes
        return bytes.subarray(from, from + hashBytes)
      }),
    }
  }
}

const changes = {
  server: 'it was given for another server',
  name: 'it was given for another tool',
  arguments: 'it was given for other arguments',
  tool: 'the tool has changed since it was given',
} as const

async function hashesOf(subject: ApprovalSubject): Promise<Uint8Array[]> {
  const { label, url, tool, name } = subject
  return [
    await hashOf(JSON.stringify([label, url])),
    await hashOf(name),
    await hashOf(subject.arguments),
    bytesOf(tool === undefined ? '' : await toolHash(tool)),
  ]
}

async function hashOf(text: string): Promise<Uint8Array> {
  return bytesOf(await sha256(text))
}

/** The first bytes of a hash that is written in hex. */
function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(
    { length: hashBytes },
    (_, at) => Number.parseInt(text.slice(at * 2, at * 2 + 2), 16) || 0,
  )
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one !== undefined && other !== undefined && one.every((byte, at) => byte === other[at])
}

/** What a response goes on from says whose approvals it can give; one that goes on from nothing brings them itself. */
async function checkOrigin(
  { conversation, chain }: Origin,
  asked: { response: Uint8Array | undefined; conversation: Uint8Array | undefined },
  param: string,
): Promise<void> {
  if (conversation !== undefined) {
    if (isSame(await hashOf(conversation), asked.conversation)) return
    throw refused(param, 'it was asked for in another conversation')
  }
  if (chain === undefined) return
  // The newest first: most answers come at once.
  for (const id of [...chain].reverse()) {
    if (isSame(await hashOf(id), asked.response)) return
  }
  throw refused(param, 'it was asked for by none of the responses that this one goes on from')
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function refused(param: string, why: string): ApiError {
  return new ApiError('invalid_value', `The approval in '${param}' does not count: ${why}.`, {
    param,
  })
}

// ---- approvals among the items of a conversation

export interface FoundApproval {
  request: ApprovalRequest
  /**
   * `open`: nobody has answered. `approved`: the call may be made. `denied`: it may not. `done`: an `mcp_call` with this
   * approval stands behind it.
   */
  state: 'open' | 'approved' | 'denied' | 'done'
  reason: string | null
  /** Somebody has said something since it was answered. */
  isPast: boolean
  /** Where the answer, or else the request, stands: `input[4].approval_request_id`. */
  param: string
}

/**
 * The requests for approval among the items, in order, and what became of them. Throws ApiError for an answer to no request,
 * and for a second one. `pathOf` says where the client wrote an item.
 */
export function findApprovals(
  items: readonly unknown[],
  pathOf: (index: number) => string = (index) => `input[${index}]`,
): FoundApproval[] {
  const found = new Map<string, FoundApproval>()
  const answered: FoundApproval[] = []
  for (const [index, item] of items.entries()) {
    if (!isObject(item)) continue
    const path = pathOf(index)
    if (item.type === 'mcp_approval_request') {
      const request = readRequest(item, path)
      found.set(request.id, {
        request,
        state: 'open',
        reason: null,
        isPast: false,
        param: `${path}.id`,
      })
    } else if (item.type === 'mcp_approval_response') {
      answered.push(answer(found, item, path))
    } else if (item.type === 'mcp_call' && typeof item.approval_request_id === 'string') {
      const of = found.get(item.approval_request_id)
      if (of !== undefined) of.state = 'done'
    } else if ('role' in item) {
      for (const of of answered.splice(0)) of.isPast = true
    }
  }
  return [...found.values()]
}

function readRequest(item: Record<string, unknown>, path: string): ApprovalRequest {
  const read = (key: string) => {
    const value = item[key]
    if (typeof value === 'string') return value
    const param = `${path}.${key}`
    throw new ApiError('invalid_value', `Invalid value for '${param}': expected string.`, { param })
  }
  return {
    id: read('id'),
    server_label: read('server_label'),
    name: read('name'),
    arguments: read('arguments'),
  }
}

function answer(
  found: Map<string, FoundApproval>,
  item: Record<string, unknown>,
  path: string,
): FoundApproval {
  const param = `${path}.approval_request_id`
  const id = item.approval_request_id
  const of = typeof id === 'string' ? found.get(id) : undefined
  if (of === undefined) {
    const message = `No mcp_approval_request with the id in '${param}' stands before it.`
    throw new ApiError('invalid_value', message, { param })
  }
  if (typeof item.approve !== 'boolean') {
    const message = `Invalid value for '${path}.approve': expected boolean.`
    throw new ApiError('invalid_value', message, { param: `${path}.approve` })
  }
  if (of.state !== 'open') throw refused(param, 'its request was answered before')
  of.state = item.approve ? 'approved' : 'denied'
  of.reason = typeof item.reason === 'string' ? item.reason : null
  of.param = param
  return of
}
