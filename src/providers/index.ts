// The built-in providers, in the order in which they are tried when nothing else decides.
import { cerebras } from './cerebras.ts'
import { fireworksAi } from './fireworks-ai.ts'
import { groq } from './groq.ts'
import { hf } from './hf.ts'
import { together } from './together.ts'

export const providers = { cerebras, groq, 'fireworks-ai': fireworksAi, together, hf } as const

/** Name of a built-in provider; custom ones come from the config document. */
export type ProviderName = keyof typeof providers
