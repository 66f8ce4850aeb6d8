// POST /v1/responses.
import { openCompactions } from '../convert/compaction.ts'
import { openReasoning } from '../convert/sealed-reasoning.ts'
import { checkUrls } from '../egress/request-urls.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { parseResponsesRequest, type ResponsesRequest } from '../protocol/responses.ts'
import type { BackgroundWork, Recorder } from '../store/store.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { FaceDeps } from './deps.ts'
import { withFamily } from './reasoning-family.ts'
import { ResponsesFace } from './responses-face.ts'
import { type Client, inClientsWords, serve, serveParsed } from './serve.ts'
import { toolUpstream } from './tool-upstream.ts'
import { clientsParam, openTurn, stateFields } from './turn.ts'

const eventStreamHeaders = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }

/** Answers a Responses request, streaming or not; errors are responses, too. */
export function handleResponses(request: Request, deps: FaceDeps): Promise<Response> {
  return serve(request, deps, (body, own) => faceOf(body, withFamily(own, request.headers)))
}

/** The same for a parsed body that came on a socket. */
export function answerResponses(
  body: Record<string, unknown>,
  client: Client,
  deps: FaceDeps,
): Promise<Response> {
  return serveParsed(body, client, deps, (body, own) => faceOf(body, own))
}

/** Does the work of a response that TurnStore.background() has begun; `queued` is its object, `recorder` keeps it. */
export function runInBackground(
  work: BackgroundWork,
  recorder: Recorder,
  signal: AbortSignal,
  deps: FaceDeps,
): Promise<Response> {
  const request = { ...work.request, stream: true }
  const created_at = Number(work.queued.created_at)
  const state = { ...stateFields(request, work.turn, recorder), created_at }
  const own = work.reasoningEvents ? { ...deps, reasoningEvents: work.reasoningEvents } : deps
  const face = new ResponsesFace(request, own, recorder, state, work.before)
  face.upstream = toolUpstream(request, own, 'responses', { recorder, state, ...work })
  return serveParsed(undefined, { signal }, own, () => face)
}

async function faceOf(body: unknown, deps: FaceDeps): Promise<ResponsesFace | Response> {
  // Before the check, which would miss the input that a template stands for.
  if (isObject(body) && body.prompt != null) refuse('prompt', ' (templates are kept at OpenAI)')
  const parsed = parseResponsesRequest(body)
  const { request: whole, turn, before, chain } = await openTurn(parsed, deps)
  // After the history: what is kept stays sealed.
  const request = await unsealed(whole, before, deps.seal)
  if (request.background === true) return startInBackground(request, { turn, before, chain }, deps)
  const recorder = deps.state?.begin(turn)
  const state = stateFields(request, turn, recorder)
  const kept = { recorder, state, turn, chain }
  const upstream =
    request.tools == null ? undefined : toolUpstream(request, deps, 'responses', kept)
  const face = new ResponsesFace(request, deps, recorder, state, before)
  face.upstream = upstream
  return face
}

/** The request with what its caller carried sealed opened; `before` of its items are history. Throws ApiError. */
export async function unsealed(
  request: ResponsesRequest,
  before: number,
  seal: FaceDeps['seal'],
): Promise<ResponsesRequest> {
  if (typeof request.input === 'string') return request
  return inClientsInput(request, before, async () =>
    openCompactions(await openReasoning(request, seal, before), seal),
  )
}

/** A fault that `work` finds in the whole input is told with the client's name for the place. */
async function inClientsInput<T>(
  { conversation }: ResponsesRequest,
  before: number,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown
    throw inClientsWords(thrown, (param) => clientsParam(param, before, conversation))
  }
}

async function startInBackground(
  request: ResponsesRequest,
  { turn, before, chain }: Pick<BackgroundWork, 'turn' | 'before' | 'chain'>,
  deps: FaceDeps,
): Promise<Response> {
  // All asked now, so that what will be refused is refused at once and not found out by polling.
  await inClientsInput(request, before, async () => checkUrls(request, deps.egress))
  const planner = toolUpstream(request, deps, 'responses')?.way ?? deps
  const [candidate] = await planner.plan({ model: request.model, request })
  const queued = initialResponse(request, {
    id: '',
    model: candidate?.model ?? request.model,
    createdAt: Math.floor(deps.now() / 1000),
    state: { ...stateFields(request, turn, undefined), store: true, background: true },
  })
  if (deps.state?.background === undefined) return refuse('background')
  const { reasoningEvents } = deps
  const status = 'queued'
  const work = { request, turn, before, chain, queued: { ...queued, status }, reasoningEvents }
  const started = await deps.state.background(work)
  if (!turn.stream) return Response.json(started.response)
  const { body } = await started.events()
  return new Response(body, { headers: eventStreamHeaders })
}

function refuse(param: string, why = ''): never {
  throw new ApiError('unsupported_parameter', `Unsupported parameter: '${param}'${why}.`, { param })
}
