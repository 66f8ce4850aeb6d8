// What `POST /v1/containers` asks for, as far as there is such a thing here.
import { ApiError } from '../../src/errors.ts'
import { isObject } from '../../src/protocol/check.ts'
import type { SessionWishes } from './sessions.ts'

const longestName = 256
const mostMinutes = 20
/** Where whoever runs the node says how much. */
const memoryField = 'tools.code_interpreter.memoryMb'
/** GiB of each limit that OpenAI knows. */
const memoryLimits: Readonly<Record<string, number>> = { '1g': 1, '4g': 4, '16g': 16, '64g': 64 }

/** Checks the body; `memoryMiB`: what Python has here. Throws ApiError with the field at fault. */
export function parseContainer(body: unknown, memoryMiB: number | undefined): SessionWishes {
  if (!isObject(body)) {
    throw new ApiError('invalid_request', 'The request body must be a JSON object.')
  }
  const { name, expires_after, memory_limit, file_ids, skills, network_policy } = body
  if (name == null) {
    throw new ApiError('missing_required_parameter', "Missing required parameter: 'name'.", {
      param: 'name',
    })
  }
  if (typeof name !== 'string' || name === '' || name.length > longestName) {
    throw invalid('name', `expected a text of 1 to ${longestName} characters`)
  }
  refuseListed('file_ids', file_ids, 'put files in with POST /v1/containers/{id}/files')
  refuseListed('skills', skills, 'there are none here')
  refuseNetwork(network_policy)
  return { name, ...idleOf(expires_after), ...memoryOf(memory_limit, memoryMiB) }
}

function idleOf(given: unknown): { idleMs?: number } {
  if (given == null) return {}
  if (!isObject(given)) throw invalid('expires_after', 'expected an object')
  const { anchor, minutes } = given
  if (anchor !== 'last_active_at') {
    throw invalid('expires_after.anchor', "expected 'last_active_at'")
  }
  if (!Number.isInteger(minutes) || Number(minutes) < 1 || Number(minutes) > mostMinutes) {
    throw invalid('expires_after.minutes', `expected a whole number from 1 to ${mostMinutes}`)
  }
  return { idleMs: Number(minutes) * 60_000 }
}

function memoryOf(given: unknown, memoryMiB: number | undefined): { memoryLimit?: string } {
  if (given == null) return {}
  const names = Object.keys(memoryLimits)
  if (typeof given !== 'string' || !names.includes(given)) {
    throw invalid('memory_limit', `expected one of ${names.join(', ')}`)
  }
  const wanted = (memoryLimits[given] ?? 0) * 1024
  if (memoryMiB !== undefined && wanted > memoryMiB) {
    throw invalid('memory_limit', `Python has ${memoryMiB} MiB here (${memoryField})`)
  }
  return { memoryLimit: given }
}

function refuseListed(param: string, given: unknown, instead: string): void {
  if (given == null || (Array.isArray(given) && given.length === 0)) return
  const message = `Unsupported parameter: '${param}': ${instead}.`
  throw new ApiError('unsupported_parameter', message, { param })
}

function refuseNetwork(given: unknown): void {
  if (given == null || (isObject(given) && given.type === 'disabled')) return
  const param = 'network_policy'
  const message = `Unsupported parameter: '${param}': code runs without any network here.`
  throw new ApiError('unsupported_parameter', message, { param })
}

function invalid(param: string, problem: string): ApiError {
  return new ApiError('invalid_value', `Invalid value for '${param}': ${problem}.`, { param })
}
