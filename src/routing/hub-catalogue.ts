// What Hugging Face's router tells of every model at every partner in its GET /v1/models: prices, context, abilities, and the
// speed of its last probe. https://huggingface.co/docs/inference-providers/hub-api
import { isObject } from '../protocol/check.ts'
import type { Capabilities } from '../providers/capabilities.ts'

const maxModels = 10_000

/** Public id → provider → what is known. */
export type HubCatalogue = ReadonlyMap<string, ReadonlyMap<string, Capabilities>>

/** Reads the router's list; what has another shape is left out. */
export function readCatalogue(answer: unknown, providers: ReadonlySet<string>): HubCatalogue {
  const catalogue = new Map<string, ReadonlyMap<string, Capabilities>>()
  const models = isObject(answer) && Array.isArray(answer.data) ? answer.data : []
  for (const model of models.slice(0, maxModels)) {
    if (!isObject(model) || typeof model.id !== 'string' || !Array.isArray(model.providers))
      continue
    const modalities = readModalities(model.architecture)
    const places = new Map<string, Capabilities>()
    for (const place of model.providers) {
      if (!isObject(place) || typeof place.provider !== 'string') continue
      if (providers.has(place.provider)) {
        places.set(place.provider, { ...readPlace(place), ...modalities })
      }
    }
    if (places.size > 0) catalogue.set(model.id, places)
  }
  return catalogue
}

function readModalities(architecture: unknown): Pick<Capabilities, 'inputModalities'> {
  const listed = isObject(architecture) ? architecture.input_modalities : undefined
  if (!Array.isArray(listed)) return {}
  return { inputModalities: listed.filter((each): each is string => typeof each === 'string') }
}

function readPlace(place: Record<string, unknown>): Capabilities {
  const { pricing, supports_tools, supports_structured_output } = place
  const input = isObject(pricing) ? positive(pricing.input) : undefined
  const output = isObject(pricing) ? positive(pricing.output) : undefined
  const free = place.is_free === true ? { input: 0, output: 0 } : undefined
  return stated({
    price: input !== undefined && output !== undefined ? { input, output } : free,
    contextLength: positive(place.context_length),
    tools: typeof supports_tools === 'boolean' ? supports_tools : undefined,
    structuredOutput:
      typeof supports_structured_output === 'boolean' ? supports_structured_output : undefined,
    firstTokenMs: positive(place.first_token_latency_ms),
    tokensPerSecond: positive(place.throughput),
  })
}

/** Without the fields that were not said: they would hide what is known from elsewhere. */
function stated(capabilities: Capabilities): Capabilities {
  return Object.fromEntries(Object.entries(capabilities).filter(([, value]) => value !== undefined))
}

/** A price of zero is one; a speed of zero is none, and nobody sends it. */
function positive(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? value : undefined
}
