// What a provider may change in a request.
import type { Dialect } from '../faces/deps.ts'

/** Last change to a request body before it leaves; `dropped` names the parameters that the provider would refuse. */
export type Adapt = (
  body: Record<string, unknown>,
  dialect: Dialect,
) => { body: Record<string, unknown>; dropped: string[] }
