// Which container code_interpreter works in: the one that the request names, the one of the conversation, or a new one as an
// `auto` declaration wishes it. https://platform.openai.com/docs/guides/tools-code-interpreter#containers
import { ApiError, isErrorCode } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { containerPrefix, containerSchema, containersPath } from './containers.ts'
import type { HostedTools } from './hosted.ts'
import type { Json } from './runner.ts'

/** Of a session's id, as hosts take it. */
const maxSession = 256
/** A status of a host that has no Containers API: its sessions are only found out by a call. */
const notAsked = new Set([405, 501])
const url = `http://containers${containersPath}`

/** Wishes of an `auto` declaration that whoever makes the container checks. */
interface Wishes {
  memory_limit?: unknown
  expires_after?: unknown
}

/**
 * The container that a declared tool goes on with; undefined: one begins with the first call. `input` is the whole history.
 * Throws ApiError with the field at fault.
 */
export async function chooseContainer(
  tool: Json,
  path: string,
  input: string | readonly object[],
  hosted: HostedTools,
): Promise<string | undefined> {
  const at = `${path}.container`
  const asked = containerOf(tool, at)
  if (typeof asked === 'string') {
    const refusal = await look(asked, hosted)
    if (refusal !== undefined) throw told(refusal, refusal.status === 404 ? at : null)
    return asked
  }
  const last = typeof input === 'string' ? undefined : lastContainer(input)
  if (asked === undefined) return last
  // What is wished is for a new one: that of the conversation is as it was made.
  if (last !== undefined && (await look(last, hosted))?.status !== 404) return last
  return await make(asked, at, hosted)
}

/** The id that a declaration names, or its wishes for a new one; undefined: any. */
function containerOf({ container }: Json, at: string): string | Wishes | undefined {
  if (container == null) return undefined
  if (typeof container === 'string') {
    if (isContainer(container)) return container
    const reason = `expected an id that begins with ${containerPrefix}`
    throw new ApiError('invalid_value', `Invalid value for '${at}': ${reason}.`, { param: at })
  }
  if (!isObject(container) || container.type !== 'auto') {
    const reason = "expected a container's id, or an object of type 'auto'"
    throw new ApiError('invalid_value', `Invalid value for '${at}': ${reason}.`, { param: at })
  }
  const { file_ids, skills, network_policy, memory_limit, expires_after } = container
  const own = 'put files in with POST /v1/containers/{id}/files, and name that container'
  refuseListed(`${at}.file_ids`, file_ids, own)
  refuseListed(`${at}.skills`, skills, 'there are none here')
  if (network_policy != null && !(isObject(network_policy) && network_policy.type === 'disabled')) {
    throw unsupported(`${at}.network_policy`, 'code runs without any network here')
  }
  const wishes: Wishes = {
    ...(memory_limit == null ? {} : { memory_limit }),
    ...(expires_after == null ? {} : { expires_after }),
  }
  return Object.keys(wishes).length === 0 ? undefined : wishes
}

/** One that has a session: calls that never came to a node have the prefix alone. */
function isContainer(id: unknown): id is string {
  if (typeof id !== 'string' || !id.startsWith(containerPrefix)) return false
  return id.length > containerPrefix.length && id.length <= containerPrefix.length + maxSession
}

/** The container of the last call in a history: variables and files live on from turn to turn. */
function lastContainer(input: readonly object[]): string | undefined {
  for (let at = input.length - 1; at >= 0; at--) {
    const { type, container_id } = input[at] as Json
    if (type === 'code_interpreter_call' && isContainer(container_id)) return container_id
  }
  return undefined
}

/** A container by the API that clients make theirs with: it alone knows what a node has. */
async function make(wishes: Wishes, at: string, hosted: HostedTools): Promise<string> {
  const body = JSON.stringify({ name: 'auto', ...wishes })
  const headers = { 'content-type': 'application/json' }
  const answer = await hosted.containers?.(new Request(url, { method: 'POST', headers, body }))
  if (answer === undefined || notAsked.has(answer.status)) {
    await answer?.body?.cancel()
    throw unsupported(`${at}.${Object.keys(wishes)[0]}`, 'the node has no Containers API')
  }
  if (answer.ok) return containerSchema.parse(await answer.json()).id
  const refusal = await refusalOf(answer)
  const { param } = refusal
  if (param === null) throw told(refusal, null)
  const full = `${at}.${param}`
  throw told({ ...refusal, message: refusal.message.replace(`'${param}'`, `'${full}'`) }, full)
}

/** Undefined for a container that is there, or that nobody can be asked for. */
async function look(id: string, hosted: HostedTools): Promise<Refusal | undefined> {
  const answer = await hosted.containers?.(new Request(`${url}/${encodeURIComponent(id)}`))
  if (answer !== undefined && !answer.ok && !notAsked.has(answer.status)) {
    return await refusalOf(answer)
  }
  await answer?.body?.cancel()
  return undefined
}

interface Refusal {
  status: number
  /** Seconds after which it may be asked again. */
  retryAfter: number | undefined
  code: unknown
  message: string
  param: string | null
}

async function refusalOf(answer: Response): Promise<Refusal> {
  type Told = Pick<Refusal, 'code' | 'message' | 'param'>
  const { error } = (await answer.json()) as { error: Told }
  const { code, message, param = null } = error
  const seconds = Number(answer.headers.get('retry-after') ?? 0)
  return { status: answer.status, retryAfter: seconds || undefined, code, message, param }
}

function told({ code, message, retryAfter }: Refusal, param: string | null): ApiError {
  const later = retryAfter === undefined ? {} : { retryAfter }
  return new ApiError(isErrorCode(code) ? code : 'upstream_error', message, { param, ...later })
}

function refuseListed(param: string, given: unknown, instead: string): void {
  if (given == null || (Array.isArray(given) && given.length === 0)) return
  throw unsupported(param, instead)
}

function unsupported(param: string, instead: string): ApiError {
  const message = `Unsupported parameter: '${param}': ${instead}.`
  return new ApiError('unsupported_parameter', message, { param })
}
