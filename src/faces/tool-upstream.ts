// Tools that run here, seen from the send path: an upstream that speaks Responses. Its one candidate stands for the model's
// own ones; its `send` is the tool loop, whose turns go the ordinary way. So whatever surrounds an answer (its record, sockets,
// background, another dialect) knows nothing of tools.
import { ApiError } from '../errors.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { encodeEvent } from '../sse/encode.ts'
import type { Chain, Recorder, Turn } from '../store/store.ts'
import { atClientsTools } from '../tools/inner-request.ts'
import { ToolLoop } from '../tools/loop.ts'
import type { ModelTurn } from '../tools/loop-host.ts'
import { within } from '../tools/mcp/within.ts'
import type { Json } from '../tools/runner.ts'
import { EventReader } from './answer-stream.ts'
import type { Candidate, Dialect, FaceDeps, Outcome, Place, PlaceHealth } from './deps.ts'
import { type Equipment, equip, mayRunHere } from './equipment.ts'
import type { OwnUpstream } from './face-request.ts'
import { ResponsesFace } from './responses-face.ts'
import { ask } from './serve.ts'
import type { StateFields } from './turn.ts'

/** The response as it is kept, and what it goes on from. */
export interface Kept {
  recorder: Recorder | undefined
  /** What its object says of that. */
  state: StateFields | undefined
  turn: Turn
  chain: Chain | undefined
}

/**
 * Who answers a request with tools that run here; undefined where none of its tools could. `dialect` is the client's: a provider
 * that runs tools itself does so in Responses only. `kept`: unset where nothing can be.
 */
export function toolUpstream(
  request: ResponsesRequest,
  deps: FaceDeps,
  dialect: Dialect,
  kept?: Kept,
): OwnUpstream | undefined {
  if (!request.tools?.some(mayRunHere)) return undefined
  let equipment: Equipment | undefined
  const { recorder, state, turn, chain } = kept ?? {}
  const id = recorder?.id ?? deps.newId('resp')
  const origin = {
    response: id,
    conversation: turn?.conversation,
    chain: turn?.previousResponseId === undefined ? undefined : chain?.responses,
  }
  const turns: Outcome[] = []
  const way: OwnUpstream['way'] = {
    async plan(context) {
      const candidates = await deps.plan(context)
      const [first] = candidates
      if (first === undefined) return candidates
      if (dialect === 'responses' && first.runsTools === true) return candidates
      equipment = await equip(request, deps, dialect, origin)
      return equipment.runners.length === 0 ? candidates : [virtual(first)]
    },
    async send(candidate, call) {
      if (candidate.kind !== 'tools' || equipment === undefined) return deps.send(candidate, call)
      const loop = new ToolLoop({
        ...equipment,
        id,
        request: { ...(call.body as ResponsesRequest), model: request.model },
        model: candidate.model,
        host: {
          now: () => deps.now(),
          turn: (inner, signal) => turnOf(inner, call.stream, signal, deps, turns),
          journal:
            (recorder ?? deps.acting) &&
            ((calls, signal) => {
              // Without what it has said: of that the events tell.
              const response = { ...loop.response, ...state, output: [] }
              const write = async () => {
                await Promise.all([recorder?.journal(calls, response), deps.acting?.(recorder?.id)])
              }
              return journalled(write, signal, deps.onError)
            }),
        },
      })
      const left = () => {
        // A record of calls would wait for ever. One whose answer has ended is whoever reads that answer's to finish.
        const goesOut =
          loop.ended && !call.signal.aborted && (loop.acted || loop.error === undefined)
        if (recorder?.begun === true && !goesOut) recorder.cancel()
      }
      // Only items tell of lists: in other dialects nobody would know that tools were missing.
      const unlisted = () => (dialect === 'responses' ? [] : loop.unlisted)
      const told = () => {
        const headers = toldHeaders(loop, unlisted())
        if (headers.warning !== undefined) {
          headers.warning = atClientsTools(headers.warning, equipment?.rest ?? [], request)
        }
        return headers
      }
      return await answerOf(loop, call.stream, call.signal, { left, told })
    },
    ...(deps.health === undefined ? {} : { health: ofPlaces(deps.health) }),
  }
  return { way, turns }
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
  turns: Outcome[],
): Promise<ModelTurn> {
  const { state: _state, seal: _seal, ...rest } = deps
  // One that was cut may have called already: another place must not go on from there.
  const wishes = { ...rest.wishes, rescue: false }
  const onEnd = (outcome: Outcome) => {
    turns.push(outcome)
  }
  const own: FaceDeps = { ...rest, wishes, onEnd, reasoningEvents: 'reasoning_text' }
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

/** How long calls wait for their entry in the record. */
const journalMs = 10_000

/** Throws ApiError where it is not sure that the calls are written down: what nobody would know of is not done. */
async function journalled(
  write: () => Promise<void>,
  signal: AbortSignal,
  onError: FaceDeps['onError'],
): Promise<void> {
  const late = new Error('The response store did not answer in time.')
  try {
    await within(journalMs, signal, late, write)
  } catch (thrown) {
    if (signal.aborted) throw thrown
    onError?.(thrown)
    const message =
      'The response store could not write down the tool calls that were to be made, so that none of them was made.'
    throw new ApiError('server_error', message, { status: 503, cause: thrown })
  }
}

interface AnswerHooks {
  /** It ends before its answer does. */
  left: () => void
  /** Headers of the answer, once it has begun. */
  told: () => Record<string, string>
}

/** The loop as an upstream's answer. What fails before the first event throws. */
async function answerOf(
  loop: ToolLoop,
  stream: boolean,
  signal: AbortSignal,
  { left, told }: AnswerHooks,
): Promise<Response> {
  const events = loop.run(signal)
  try {
    if (!stream) {
      for await (const _ of events);
      signal.throwIfAborted()
      const { response } = loop
      // Nothing was done: an error like any other. Else what was done is told.
      if (loop.error !== undefined && !loop.acted) throw loop.error
      return Response.json(response, { headers: told() })
    }
    const { batches, next } = await begun(loop, events, signal)
    const headers = { ...told(), 'content-type': 'text/event-stream' }
    return new Response(bodyOf(batches, next, events, left), { headers })
  } catch (thrown) {
    left()
    throw thrown
  }
}

/** How long lists of tools are held back: who answers is told in the headers, which leave before them. */
const headersMs = 5_000

interface Begun {
  batches: Json[][]
  /** What comes next, where it is asked for already. */
  next: Promise<IteratorResult<Json[]>> | undefined
}

/** What there is until a turn has begun, or something else than lists is to be told, or the time is over. */
async function begun(
  loop: ToolLoop,
  events: AsyncGenerator<Json[]>,
  signal: AbortSignal,
): Promise<Begun> {
  const batches: Json[][] = []
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), headersMs)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  try {
    for (;;) {
      const next = events.next()
      // What fails before anything is told is an error like any other: it is waited for.
      const result = batches.length === 0 ? await next : await Promise.race([next, late])
      if (result === undefined) return { batches, next }
      if (result.done) return { batches, next: undefined }
      batches.push(result.value)
      if (loop.headers !== undefined || !loop.isListing) return { batches, next: undefined }
    }
  } finally {
    if (timer !== undefined) clearTimeout(timer)
  }
}

function bodyOf(
  batches: readonly Json[][],
  next: Promise<IteratorResult<Json[]>> | undefined,
  events: AsyncGenerator<Json[]>,
  left: () => void,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const encoded = (batch: readonly Json[]) =>
    encoder.encode(batch.map((event) => encodeEvent(String(event.type), event)).join(''))
  let waiting = next
  // It is read below, unless the client leaves before that.
  waiting?.catch(() => undefined)
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      const first = batches.flat()
      if (first.length > 0) controller.enqueue(encoded(first))
    },
    async pull(controller) {
      const coming = waiting ?? events.next()
      waiting = undefined
      const { done, value } = await coming
      if (done) controller.close()
      else controller.enqueue(encoded(value))
    },
    async cancel() {
      try {
        await events.return(undefined)
      } finally {
        left()
      }
    },
  })
}

/** Headers of the first turn that tell who answered, and what is to be said of servers whose tools the model never saw. */
function toldHeaders({ headers }: ToolLoop, unlisted: readonly string[]): Record<string, string> {
  const told: Record<string, string> = {}
  for (const name of [
    'x-switchyard-provider',
    'x-switchyard-node',
    'x-switchyard-attempts',
    'x-switchyard-tried',
    'warning',
  ]) {
    const value = headers?.get(name)
    if (value != null) told[name] = value
  }
  if (unlisted.length === 0) return told
  const said = `199 switchyard "not listed, so that the model had no tools of: ${unlisted.join(', ')}"`
  return { ...told, warning: told.warning === undefined ? said : `${told.warning}, ${said}` }
}
