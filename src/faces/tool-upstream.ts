// Tools that run here, seen from the send path: an upstream that speaks Responses. Its one candidate stands for the model's
// own ones; its `send` is the tool loop, whose turns go the ordinary way. So whatever surrounds an answer (its record, sockets,
// background, another dialect) knows nothing of tools.
import type { ResponsesRequest } from '../protocol/responses.ts'
import { encodeEvent } from '../sse/encode.ts'
import { type ModelTurn, ToolLoop } from '../tools/loop.ts'
import type { Json } from '../tools/runner.ts'
import { EventReader } from './answer-stream.ts'
import type { Candidate, Dialect, FaceDeps, Place, PlaceHealth } from './deps.ts'
import { type Equipment, equip, mayRunHere } from './equipment.ts'
import { ResponsesFace } from './responses-face.ts'
import { ask } from './serve.ts'

export type ToolUpstream = Pick<FaceDeps, 'plan' | 'send' | 'health'>

/**
 * Who answers a request with tools that run here; undefined where none of its tools could. `dialect` is the client's: a provider
 * that runs tools itself does so in Responses only.
 */
export function toolUpstream(
  request: ResponsesRequest,
  deps: FaceDeps,
  dialect: Dialect,
): ToolUpstream | undefined {
  if (!request.tools?.some(mayRunHere)) return undefined
  let equipment: Equipment | undefined
  return {
    async plan(context) {
      const candidates = await deps.plan(context)
      const [first] = candidates
      if (first === undefined) return candidates
      if (dialect === 'responses' && first.runsTools === true) return candidates
      equipment = await equip(request, deps, dialect)
      return equipment.runners.length === 0 ? candidates : [virtual(first)]
    },
    async send(candidate, call) {
      if (candidate.kind !== 'tools' || equipment === undefined) return deps.send(candidate, call)
      const loop = new ToolLoop({
        ...equipment,
        request: { ...(call.body as ResponsesRequest), model: request.model },
        model: candidate.model,
        host: {
          newId: deps.newId,
          now: () => deps.now(),
          turn: (inner, signal) => turnOf(inner, call.stream, signal, deps),
        },
      })
      return await answerOf(loop, call.stream, call.signal)
    },
    ...(deps.health === undefined ? {} : { health: ofPlaces(deps.health) }),
  }
}

/** The loop is no place: its turns tell of theirs. */
function ofPlaces(health: PlaceHealth): PlaceHealth {
  const isPlace = ({ kind }: Place) => kind !== 'tools'
  return {
    began: (place, now) => {
      if (isPlace(place)) health.began(place, now)
    },
    spoke: (place, afterMs, now) => {
      if (isPlace(place)) health.spoke(place, afterMs, now)
    },
    answered: (place, began, now) => {
      if (isPlace(place)) health.answered(place, began, now)
    },
    generated: (place, tokens, inMs, now) => {
      if (isPlace(place)) health.generated(place, tokens, inMs, now)
    },
    failed: (place, began, flowedMs, now) => {
      if (isPlace(place)) health.failed(place, began, flowedMs, now)
    },
    limited: (place, forSeconds, now) => {
      if (isPlace(place)) health.limited(place, forSeconds, now)
    },
    // A loop that has begun may have called tools.
    takeRetry: (place, now) => isPlace(place) && health.takeRetry(place, now),
  }
}

/** Stands for the first of the model's candidates; each turn finds its own. */
function virtual({ name, model, publicId }: Candidate): Candidate {
  const id = publicId === undefined ? {} : { publicId }
  return { kind: 'tools', name, model, ...id, dialects: ['responses'], lostCode: 'server_error' }
}

/** One turn of the model, by the ordinary way, with nothing kept. */
async function turnOf(
  inner: ResponsesRequest,
  stream: boolean,
  signal: AbortSignal,
  deps: FaceDeps,
): Promise<ModelTurn> {
  const { state: _state, onEnd: _onEnd, seal: _seal, ...rest } = deps
  // One that was cut may have called already: another place must not go on from there.
  const wishes = { ...rest.wishes, rescue: false }
  const own: FaceDeps = { ...rest, wishes, reasoningEvents: 'reasoning_text' }
  const face = new ResponsesFace({ ...inner, stream }, own, undefined, undefined)
  const response = await ask({ signal }, own, face)
  return { headers: response.headers, events: eventsOf(response, stream) }
}

async function* eventsOf(response: Response, stream: boolean): AsyncGenerator<readonly unknown[]> {
  if (!stream) {
    const answer = (await response.json()) as Json
    // As everywhere: what does not say that it failed or was cut is whole.
    const isEnd = answer.status === 'failed' || answer.status === 'incomplete'
    yield [{ type: `response.${isEnd ? answer.status : 'completed'}`, response: answer }]
    return
  }
  const reader = new EventReader()
  const body = response.body?.getReader()
  if (body === undefined) return
  try {
    for (;;) {
      const { done, value } = await body.read()
      const events = done ? reader.end() : reader.push(value)
      if (events.length > 0) yield events.map(({ json }) => json)
      if (done) return
    }
  } finally {
    await body.cancel().catch(() => undefined)
  }
}

/** The loop as an upstream's answer. What fails before the first event throws. */
async function answerOf(loop: ToolLoop, stream: boolean, signal: AbortSignal): Promise<Response> {
  const events = loop.run(signal)
  if (!stream) {
    for await (const _ of events);
    const { response } = loop
    // Nothing was done: an error like any other. Else what was done is told.
    if (loop.error !== undefined && !loop.acted) throw loop.error
    return Response.json(response, { headers: toldHeaders(loop) })
  }
  const first = await events.next()
  const headers = { ...toldHeaders(loop), 'content-type': 'text/event-stream' }
  return new Response(bodyOf(first.done ? [] : first.value, events), { headers })
}

function bodyOf(first: Json[], events: AsyncGenerator<Json[]>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const encoded = (batch: readonly Json[]) =>
    encoder.encode(batch.map((event) => encodeEvent(String(event.type), event)).join(''))
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      if (first.length > 0) controller.enqueue(encoded(first))
    },
    async pull(controller) {
      const { done, value } = await events.next()
      if (done) controller.close()
      else controller.enqueue(encoded(value))
    },
    async cancel() {
      await events.return(undefined)
    },
  })
}

/** Headers of the first turn that tell who answered. */
function toldHeaders({ headers }: ToolLoop): Record<string, string> {
  const told: Record<string, string> = {}
  for (const name of [
    'x-switchyard-provider',
    'x-switchyard-attempts',
    'x-switchyard-tried',
    'warning',
  ]) {
    const value = headers?.get(name)
    if (value != null) told[name] = value
  }
  return told
}
