// Which family of events carries reasoning to a Responses client.
import { ApiError } from '../errors.ts'
import type { FaceDeps } from './deps.ts'

/** The request header that chooses the family of reasoning events, instead of the config's. */
export const familyHeader = 'x-switchyard-reasoning-events'

/** The deps with the family of reasoning events that a request's headers ask for; throws ApiError. */
export function withFamily(deps: FaceDeps, headers: Headers): FaceDeps {
  const value = headers.get(familyHeader)
  if (value === null) return deps
  if (value === 'reasoning_text' || value === 'reasoning' || value === 'summary') {
    return { ...deps, reasoningEvents: value }
  }
  throw new ApiError(
    'invalid_value',
    `Invalid value for the header '${familyHeader}': expected reasoning_text, reasoning or summary.`,
    { param: familyHeader },
  )
}
