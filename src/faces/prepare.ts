// What is asked of a candidate, and in which form.
import { ApiError, toApiError } from '../errors.ts'
import { withoutPreferences } from '../routing/preferences.ts'
import type { BodyEdit } from '../tools/structured-body.ts'
import type { Candidate, Dialect } from './deps.ts'
import type { FaceRequest } from './face-request.ts'

/** A body as it leaves for a candidate, and what was left out of it. */
export function prepare(
  face: FaceRequest,
  candidate: Candidate,
  dialect: Dialect,
  asStream: boolean,
  edit?: BodyEdit,
): { body: Record<string, unknown>; dropped: string[] } {
  try {
    const made = face.bodyFor(candidate, dialect)
    let { body } = made
    if (edit !== undefined) body = edit(body, dialect)
    if ('provider' in body || 'models' in body) body = withoutPreferences(body)
    if (asStream) {
      body = { ...body, stream: true }
      if (dialect === 'chat') body.stream_options = { include_usage: true }
    }
    if (candidate.adapt === undefined || (candidate.raw === true && dialect === face.dialect)) {
      return required(candidate, { body, dropped: made.dropped })
    }
    const adapted = candidate.adapt(body, dialect)
    const dropped = [...made.dropped, ...adapted.dropped]
    return required(candidate, { body: adapted.body, dropped })
  } catch (thrown) {
    const error = toApiError(thrown)
    if (error.code !== 'unsupported_content' && error.code !== 'unsupported_parameter') throw thrown
    // This one cannot be told; one that speaks the client's dialect can.
    throw error.with({ retryable: true })
  }
}

function required<T extends { dropped: string[] }>(candidate: Candidate, prepared: T): T {
  const [param] = prepared.dropped
  if (candidate.requireParameters !== true || param === undefined) return prepared
  const message = `${candidate.name} does not support '${param}', and provider.require_parameters is set.`
  throw new ApiError('unsupported_parameter', message, { param, retryable: true })
}

/**
 * A client that asked for no stream waits in silence: a stream from the provider tells a dead one within seconds, where an
 * answer in one piece may take ten minutes. It costs CPU for each chunk, so it is done where there is more than one place.
 */
export function worthFolding(candidate: Candidate, isOnly: boolean): boolean {
  return candidate.kind === 'provider' && (candidate.streamWhole ?? !isOnly)
}

/** The face's own where it is spoken, so that nothing need be converted. */
export function dialectFor(face: FaceRequest, candidate: Candidate): Dialect {
  const { dialects } = candidate
  if (face.dialect === undefined) return dialects[0] ?? 'chat'
  if (dialects.includes(face.dialect)) return face.dialect
  return face.dialect === 'chat' ? 'responses' : 'chat'
}
