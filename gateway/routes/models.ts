import type { Context, Handler } from 'hono'
import { ApiError } from '../../src/errors.ts'
import { listModels } from '../../src/routing/catalogue.ts'
import { explainInFull } from '../../src/routing/explain.ts'
import { wantedByName } from '../../src/routing/wanted.ts'
import type { World } from '../../src/routing/world.ts'
import { callerOf } from '../caller.ts'
import type { GatewayEnv } from '../env.ts'
import { hearOf, worldOf } from '../face-deps.ts'

/** `GET /v1/models` */
export const modelList: Handler<GatewayEnv> = async (c) =>
  c.json({ object: 'list', data: listModels(await worldKnowing(c)) })

/** `GET /v1/models/:id`; the id may be percent-encoded or carry its slashes as they are. */
export const modelById: Handler<GatewayEnv> = async (c) => {
  const id = c.req.param('id') ?? ''
  const world = await worldKnowing(c, id)
  const model = listModels(world, id).find((listed) => listed.id === id)
  if (!model) {
    throw new ApiError(
      'model_not_found',
      `The model '${id}' does not exist or you do not have access to it.`,
      {
        param: 'model',
      },
    )
  }
  return c.json(model)
}

/** `GET /v1/explain?model=…&tools=1`: who would answer a request with such needs, and why the others would not. */
export const explainModel: Handler<GatewayEnv> = async (c) => {
  const model = c.req.query('model')
  if (!model) {
    throw new ApiError('missing_required_parameter', "Missing required parameter: 'model'.", {
      param: 'model',
    })
  }
  const wanted = wantedByName((name) => isOn(c.req.query(name)))
  const { error, ...decision } = explainInFull(model, await worldKnowing(c, model), wanted)
  return c.json({ ...decision, error: error?.toBody().error ?? null })
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && value !== '0' && value !== 'false'
}

/** The caller's world, with what the hub says of this model and its router of all. */
async function worldKnowing(c: Context<GatewayEnv>, model = ''): Promise<World> {
  const caller = callerOf(c)
  const world = await worldOf(caller, true)
  await hearOf(caller, model, world)
  return world
}
