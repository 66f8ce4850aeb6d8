// A scripted host for the faces: each candidate answers as its script says; what was sent and what ended is kept.
import type { Candidate, FaceDeps, Outcome, UpstreamCall } from '../../src/index.ts'
import { ApiError } from '../../src/index.ts'
import { countingIds } from './support.ts'

export type Script = (call: UpstreamCall) => Response | Promise<Response>

export interface Host {
  deps: FaceDeps
  sent: UpstreamCall[]
  outcomes: Outcome[]
  errors: unknown[]
}

export function candidate(overrides: Partial<Candidate> = {}): Candidate {
  return {
    kind: 'provider',
    name: 'first',
    model: 'model-there',
    dialects: ['chat'],
    lostCode: 'upstream_error',
    ...overrides,
  }
}

/** A host whose candidates answer by script, in order. */
export function host(...scripted: [Candidate, Script][]): Host {
  const sent: UpstreamCall[] = []
  const outcomes: Outcome[] = []
  const errors: unknown[] = []
  const scripts = new Map(scripted)
  const deps: FaceDeps = {
    plan: async () => scripted.map(([each]) => each),
    send: async (each, call) => {
      sent.push(call)
      const script = scripts.get(each)
      if (script === undefined) throw new Error('no script')
      return script(call)
    },
    now: () => 1_700_000_000_000,
    newId: countingIds(),
    maxBodyBytes: 100_000,
    reasoningEvents: 'reasoning_text',
    onEnd: (outcome) => outcomes.push(outcome),
    onError: (error) => errors.push(error),
  }
  return { deps, sent, outcomes, errors }
}

/** An event stream of these bytes or texts, each its own read; an Error among them breaks the connection. */
export function streamed(pieces: readonly (string | Uint8Array | Error)[]): Response {
  const encoder = new TextEncoder()
  let at = 0
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // A turn of the event loop between reads, as on a network.
        await new Promise((resolve) => setTimeout(resolve, 1))
        const piece = pieces[at++]
        if (piece === undefined) controller.close()
        else if (piece instanceof Error) controller.error(piece)
        else controller.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece)
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

export function json(body: unknown, contentType = 'application/json'): Response {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return new Response(text, { headers: { 'content-type': contentType } })
}

/** A script that fails before any answer. */
export function refusing(
  code: ConstructorParameters<typeof ApiError>[0],
  retryable: boolean,
): Script {
  return () => {
    throw new ApiError(code, `scripted ${code}`, { retryable, retryAfter: 7 })
  }
}

export function post(body: unknown, init: RequestInit = {}): Request {
  return new Request('http://localhost/v1', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  })
}
