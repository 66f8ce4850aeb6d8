// What the node's end of a tunnel needs to know of its node and its gateway.
import type { NodeIdentity, Status } from '../../src/tunnel/messages.ts'
import type { Handler } from '../../src/tunnel/responder.ts'

/** `stopped` with a reason: this client has given up for good. */
export type ClientState = 'connecting' | 'joined' | 'waiting' | 'stopped'

export interface TunnelClientOptions {
  /** The gateway's base URL: http(s) or ws(s); `/nodes/connect` is added. */
  gateway: string
  token: string
  /** Asked at every join; HELLO's `versions` are added here. */
  hello: () => NodeIdentity
  status: () => Status
  handle: Handler
  log: (message: string) => void
  /** Told of every change, with the reason where there is one. */
  onState?: (state: ClientState, reason?: string) => void
  /** A number in [0, 1); tests pass their own. */
  random?: () => number
}
