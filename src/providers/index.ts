// The built-in providers, in the order in which they are tried when nothing else decides: each its file, its line here and its
// folder in test/fixtures/providers. Everything else (types, /v1/models, docs/providers.md, tests) follows from this object.
import { baseten } from './baseten.ts'
import { cerebras } from './cerebras.ts'
import { cohere } from './cohere.ts'
import { deepinfra } from './deepinfra.ts'
import { featherlessAi } from './featherless-ai.ts'
import { fireworksAi } from './fireworks-ai.ts'
import { groq } from './groq.ts'
import { hf } from './hf.ts'
import { hfInference } from './hf-inference.ts'
import { novita } from './novita.ts'
import { nscale } from './nscale.ts'
import { openai } from './openai.ts'
import { openrouter } from './openrouter.ts'
import { ovhcloud } from './ovhcloud.ts'
import { publicai } from './publicai.ts'
import { scaleway } from './scaleway.ts'
import { together } from './together.ts'
import { zaiOrg } from './zai-org.ts'

export const providers = {
  cerebras,
  groq,
  'fireworks-ai': fireworksAi,
  together,
  baseten,
  deepinfra,
  novita,
  nscale,
  scaleway,
  ovhcloud,
  'featherless-ai': featherlessAi,
  publicai,
  cohere,
  'zai-org': zaiOrg,
  openai,
  openrouter,
  'hf-inference': hfInference,
  hf,
} as const

/** Name of a built-in provider; custom ones come from the config document. */
export type ProviderName = keyof typeof providers
