import type { Handler } from 'hono'
import { ApiError } from '../../src/errors.ts'
import { handleResponses } from '../../src/faces/responses.ts'
import type { GatewayEnv } from '../env.ts'
import { faceDeps } from '../face-deps.ts'

/** `POST /v1/responses` */
export const createResponse: Handler<GatewayEnv> = (c) => handleResponses(c.req.raw, faceDeps(c))

/** `/v1/responses/:id` and what is below it: responses are not kept, so no id is known. */
export const storedResponse: Handler<GatewayEnv> = (c) => {
  throw new ApiError('response_not_found', `No response '${c.req.param('id')}' is stored.`)
}
