// What is kept under a key of the client's own (`Idempotency-Key`), bound to one tenant like the rest of the store: who answers
// the request now, and what the answer was. The key comes as its digest: what a client wrote is not kept.

/** Why the answer of a request that was answered is not there. */
export type Missing =
  /** The client wanted nothing of it kept. */
  | 'unstored'
  /** More than is kept. */
  | 'too_large'
  /** It was cut after tools had been called. */
  | 'interrupted'

/** An answer's body: its own text, or the stored response that it is. */
export type KeptBody = { text: string } | { response: string } | { missing: Missing }

export interface KeptAnswer {
  status: number
  headers: [string, string][]
  body: KeptBody
}

/** `yours`: to be answered now, by whoever asked. `reused`: the key stands for another request. */
export type Taken = { is: 'yours' | 'running' | 'reused' } | { is: 'kept'; answer: KeptAnswer }

/** Tools are about to be called; `response` is kept, where the answer is. */
export interface Acting {
  response: string | null
}

/** One tenant's keys. Every method rejects where the store cannot be asked. */
export interface IdempotencyKeys {
  /** The first one to take a free key answers its request, as `holder`; `digest` tells one request from another. */
  take(key: string, digest: string, holder: string): Promise<Taken>
  /**
   * The holder is still at it; false where the key is no longer its own. A holder that is not heard for half a minute has lost its key
   * to the next one who takes it, unless it had said that it is `acting`: what may have called tools is not run again.
   */
  hold(key: string, holder: string, acting: Acting | null): Promise<boolean>
  /** What became of it; null frees the key. Nothing happens where another one holds it. */
  end(key: string, holder: string, answer: KeptAnswer | null): Promise<void>
  /** Resolves once the key's request no longer runs, or after a while. */
  ended(key: string): Promise<void>
}

/** How long a key is kept. */
export const keyTtlMs = 24 * 3_600_000
/** How long a holder may be silent. */
export const leaseMs = 30_000
