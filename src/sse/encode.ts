// Server-sent events as text. Each event is one string, so that it is never cut between its lines: some clients reset
// their parser with every network chunk.

/** A Responses event: `event:` equals its type. */
export function encodeEvent(type: string, event: object): string {
  return `event: ${type}\ndata: ${JSON.stringify(event)}\n\n`
}

/** A Chat chunk. */
export function encodeChunk(chunk: object): string {
  return `data: ${JSON.stringify(chunk)}\n\n`
}

/** The literal that ends a stream that has not failed (Responses: every stream). */
export const doneMarker = 'data: [DONE]\n\n'

/** A comment that keeps proxies from closing a silent stream. */
export const pingComment = ': ping\n\n'
