// Lists of models in the shape of Anthropic's API. https://docs.anthropic.com/en/api/models-list
import { isObject } from '../protocol/check.ts'

/** A list of models, or one, as Anthropic's clients read it; anything else as it is. */
export function modelsToMessages(body: unknown): unknown {
  if (!isObject(body)) return body
  if (!Array.isArray(body.data)) return body.object === 'model' ? modelInfo(body) : body
  const data = body.data.filter(isObject).map(modelInfo)
  return {
    data,
    has_more: false,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  }
}

function modelInfo(model: Record<string, unknown>) {
  const created = typeof model.created === 'number' ? model.created : 0
  const contexts = (Array.isArray(model.providers) ? model.providers : [model])
    .map((place: unknown) => (isObject(place) ? place.context_length : undefined))
    .filter((length) => typeof length === 'number')
  return {
    type: 'model',
    id: String(model.id),
    display_name: String(model.id),
    created_at: new Date(created * 1000).toISOString(),
    max_input_tokens: contexts.length === 0 ? null : Math.max(...contexts),
    max_tokens: null,
    capabilities: null,
    line: null,
    lifecycle: 'active',
    deprecated_at: null,
    retires_at: null,
  }
}
