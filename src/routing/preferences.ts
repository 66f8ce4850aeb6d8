// What a request itself says about who may answer: the `provider` object as users of routers know it, and `models`, the
// models to fall back to. Both are ours: they are checked by name here and never sent on.
// https://openrouter.ai/docs/features/provider-routing
import { z } from 'zod'
import { ApiError } from '../errors.ts'
import { check, list } from '../protocol/check.ts'

const maxNames = 32
const maxModels = 8

const names = list(z.string().min(1).max(128), { max: maxNames }).nullish()
const price = z.number().min(0).nullish()
const preferenceSchema = z.looseObject({
  provider: z
    .strictObject({
      order: names,
      only: names,
      ignore: names,
      allow_fallbacks: z.boolean().nullish(),
      sort: z.enum(['price', 'throughput', 'latency']).nullish(),
      max_price: z.strictObject({ prompt: price, completion: price }).nullish(),
      require_parameters: z.boolean().nullish(),
    })
    .nullish(),
  models: list(z.string().min(1), { min: 1, max: maxModels }).nullish(),
})

export type Sort = 'price' | 'throughput' | 'latency'

/** What the client said; every name in it is checked where routing knows the places. */
export interface Preferences {
  /** These first, in this order. `self` stands for any own node. */
  order: readonly string[]
  /** Where `order` came from, for errors: `provider.order` or the header's name. */
  orderParam: string
  /** These alone. */
  only: readonly string[] | undefined
  ignore: readonly string[]
  /** False: the first candidate alone, or those of `order` alone. */
  allowFallbacks: boolean
  sort: Sort | undefined
  /** USD per million tokens; a provider without a known price is left out. */
  maxPrice: { prompt: number | undefined; completion: number | undefined } | undefined
  /** No provider that would have to leave a parameter out. */
  requireParameters: boolean
  /** Model references to fall back to, in order, after `model`. */
  models: readonly string[]
}

/** `groq, cerebras`: the order of providers for this request. */
export const orderHeader = 'x-switchyard-order'

/** What a request and its header say; undefined where they say nothing, as most do. Throws ApiError with the field's path. */
export function readPreferences(request: object, header: string | null): Preferences | undefined {
  if (header === null && !('provider' in request) && !('models' in request)) return undefined
  const { provider, models } = checked(request)
  const ordered = header === null ? (provider?.order ?? []) : readOrder(header)
  const max = provider?.max_price
  const isPriced = max?.prompt != null || max?.completion != null
  return {
    order: ordered,
    orderParam: header === null ? 'provider.order' : orderHeader,
    only: provider?.only ?? undefined,
    ignore: provider?.ignore ?? [],
    allowFallbacks: provider?.allow_fallbacks !== false,
    sort: provider?.sort ?? undefined,
    maxPrice: max && isPriced ? limitsOf(max) : undefined,
    requireParameters: provider?.require_parameters === true,
    models: models ?? [],
  }
}

/** A body as it may leave: without what only routing reads. */
export function withoutPreferences(body: Record<string, unknown>): Record<string, unknown> {
  const { provider: _provider, models: _models, ...rest } = body
  return rest
}

/** A request that names only `models` has the first of them as its `model`. */
export function withModel(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || 'model' in body || !('models' in body))
    return body
  const first: unknown = Array.isArray(body.models) ? body.models[0] : undefined
  return typeof first === 'string' ? { ...body, model: first } : body
}

function limitsOf({ prompt, completion }: Nullish<{ prompt: number; completion: number }>) {
  return { prompt: prompt ?? undefined, completion: completion ?? undefined }
}

type Nullish<T> = { [Key in keyof T]?: T[Key] | null | undefined }

function checked(request: object) {
  const { provider, models }: { provider?: unknown; models?: unknown } = request
  if (typeof provider === 'object' && provider !== null) {
    // A promise like `data_collection: "deny"` must not be taken and then not kept.
    const known = preferenceSchema.shape.provider.unwrap().unwrap().shape
    const unknown = Object.keys(provider).find((key) => !Object.hasOwn(known, key))
    if (unknown !== undefined) {
      const param = `provider.${unknown}`
      throw new ApiError('unsupported_parameter', `Unsupported parameter: '${param}'.`, { param })
    }
  }
  return check(preferenceSchema, { provider, models })
}

function readOrder(header: string): string[] {
  const order = header
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (order.length === 0 || order.length > maxNames) {
    const message = `The header ${orderHeader} must name 1 to ${maxNames} providers, separated by commas.`
    throw new ApiError('invalid_value', message, { param: orderHeader })
  }
  return order
}
