// A container that a request names: known to be there before the answer begins.
import { ApiError, isErrorCode } from '../errors.ts'
import { containersPath } from './containers.ts'
import type { HostedTools } from './hosted.ts'

/** A status of a host that has no Containers API: its sessions are only found out by a call. */
const notAsked = new Set([405, 501])

/** Throws ApiError where the container has ended; `param`: the field that names it. */
export async function refuseEnded(id: string, param: string, hosted: HostedTools): Promise<void> {
  const url = `http://containers${containersPath}/${encodeURIComponent(id)}`
  const answer = await hosted.containers?.(new Request(url))
  if (answer === undefined || answer.ok || notAsked.has(answer.status)) {
    await answer?.body?.cancel()
    return
  }
  const body: unknown = await answer.json()
  const { code, message } = (body as { error: { code: unknown; message: string } }).error
  const known = isErrorCode(code) ? code : 'upstream_error'
  throw new ApiError(known, message, { param: answer.status === 404 ? param : null })
}
