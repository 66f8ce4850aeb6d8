// Where a call to a provider goes. The origin is that of the config, whatever a client writes as model.
import { ApiError } from '../errors.ts'
import type { Dialect } from '../faces/deps.ts'
import type { Provider } from './provider.ts'

const paths = { chat: 'chat/completions', responses: 'responses' } as const

/** The URL of a call; throws ApiError where a model's id cannot be part of one. */
export function endpointOf(
  { baseUrl, name }: Pick<Provider, 'baseUrl' | 'name'>,
  dialect: Dialect,
  model: string,
): string {
  return `${baseUrl.includes('{model}') ? withModel(baseUrl, model, name) : baseUrl}/${paths[dialect]}`
}

/** Segments are encoded; one of dots alone would climb out of its place even then. */
function withModel(baseUrl: string, model: string, place: string): string {
  const segments = model.split('/')
  if (segments.some((segment) => /^\.*$/.test(segment))) {
    throw new ApiError('model_not_found', `${place} has no model '${model}'.`, { param: 'model' })
  }
  const path = segments.map(encodeURIComponent).join('/')
  return baseUrl.replace('{model}', () => path)
}
