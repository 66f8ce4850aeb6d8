// What the list endpoints share: their query and their answer. https://platform.openai.com/docs/api-reference/responses/input-items
import { ApiError } from '../errors.ts'
import type { Page, PageQuery } from '../store/store.ts'

const maxLimit = 100
const defaultLimit = 20

/** Reads `after`, `before`, `limit` and `order`; throws ApiError with the parameter at fault. */
export function pageQuery(params: URLSearchParams, most = maxLimit): PageQuery {
  const order = params.get('order') ?? 'desc'
  if (order !== 'asc' && order !== 'desc') throw invalid('order', "expected 'asc' or 'desc'")
  return {
    after: params.get('after') || undefined,
    before: params.get('before') || undefined,
    limit: integer(params, 'limit', { min: 1, max: most }) ?? defaultLimit,
    order,
  }
}

/** A whole number of the query; undefined where it is not given. */
export function integer(
  params: URLSearchParams,
  name: string,
  { min, max }: { min: number; max: number },
): number | undefined {
  const text = params.get(name)
  if (text === null) return undefined
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw invalid(name, `expected a whole number from ${min} to ${max}`)
}

/** The list object of OpenAI's API. */
export function listObject({ data, hasMore }: Page): Record<string, unknown> {
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  }
}

function invalid(param: string, expected: string): ApiError {
  return new ApiError('invalid_value', `Invalid value for '${param}': ${expected}.`, { param })
}
