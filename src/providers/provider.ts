// What a provider is: data plus the changes that its API needs in a request body. No I/O and no keys in here.
import type { Dialect } from '../faces/deps.ts'
import type { Adapt } from './adapt.ts'
import type { Capabilities, Price } from './capabilities.ts'
import { type ChatQuirks, chatAdapter } from './chat-quirks.ts'

export interface Timeouts {
  /** Until the response headers. Unset: 30 s for a stream, 10 min for an answer in one piece (its headers come when it is complete). */
  headersMs?: number | undefined
  /** From the headers to the first output of the model. */
  firstTokenMs: number
  /** Between two chunks of a stream. */
  idleMs: number
  /** From the headers to the end of a stream. */
  totalMs: number
  /** The longest Retry-After of a 429 that is waited for, where there is no other place. */
  retryAfterMs: number
}

/** Until the response headers, where a provider sets no limit of its own: those of an answer in one piece come when it is complete. */
export const usualHeadersMs = { stream: 30_000, whole: 600_000 }

/**
 * What an error code of a provider (or a status, or the beginning of a message, where it sends no code) means, if not what the status says elsewhere: `retry`,
 * the model wrote something wrong and another may not; `no_model`, it has no such model; `account`, the account behind the key
 * cannot pay; `overloaded`.
 */
export type CodeMeaning = 'retry' | 'no_model' | 'account' | 'overloaded'

/** One upstream with an OpenAI-compatible API, built in or from the config document. */
export interface Provider {
  name: string
  builtIn: boolean
  /** The provider's own documentation. */
  docs: string
  /**
   * Up to and without `/chat/completions`; no trailing slash; `{model}` in its path stands for the model's id. The key below goes
   * to this origin and nowhere else.
   */
  baseUrl: string
  /** Name of the environment variable that holds the key. */
  apiKeyEnv: string
  /** Works without a key: a custom provider that names no `apiKeyEnv`, e.g. a server on loopback. */
  keyOptional: boolean
  dialects: readonly Dialect[]
  /** Public id → id at the provider. */
  models: Readonly<Record<string, string>>
  /** Whether an id outside `models` goes through as it is: always, only where the client named this provider, or never. */
  otherModels: 'always' | 'pinned' | 'never'
  /** Left off from a public id that goes through as it is: `openai/` at OpenAI itself. */
  ownPrefix: string
  /** Hugging Face's hub knows its ids: those outside `models` can be looked up there. */
  onHub: boolean
  /** Sent with every request. */
  headers: Readonly<Record<string, string>>
  /** Request headers of the client that go up as they are (lower case). */
  passHeaders: readonly string[]
  raw: boolean
  /** Asked to stream for clients that are not: always, never, or (unset) while another candidate could answer instead. */
  streamWhole?: boolean | undefined
  /** Runs web search, code and MCP itself, for requests in the Responses dialect. */
  runsTools?: boolean | undefined
  timeouts: Timeouts
  pricing: Readonly<Record<string, Price>>
  /** Public id, or `*` for every model → what it can do there. Read it through `capabilitiesOf`. */
  capabilities: Readonly<Record<string, Omit<Capabilities, 'price'>>>
  codes: Readonly<Record<string, CodeMeaning>>
  adapt: Adapt
}

export interface ProviderDefinition<Name extends string>
  extends Partial<
    Pick<
      Provider,
      | 'apiKeyEnv'
      | 'dialects'
      | 'models'
      | 'otherModels'
      | 'ownPrefix'
      | 'onHub'
      | 'headers'
      | 'passHeaders'
      | 'runsTools'
      | 'capabilities'
      | 'codes'
    >
  > {
  name: Name
  docs: string
  baseUrl: string
  chat?: ChatQuirks
}

export const defaultTimeouts: Timeouts = {
  firstTokenMs: 60_000,
  idleMs: 30_000,
  totalMs: 1_800_000,
  retryAfterMs: 10_000,
}

/** `FIREWORKS_AI_API_KEY` for `fireworks-ai`. */
export function defaultKeyEnv(name: string): string {
  return `${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}_API_KEY`
}

/** A built-in provider: what it leaves out is as OpenAI's Chat Completions API has it. */
export function defineProvider<const Name extends string>(
  definition: ProviderDefinition<Name>,
): Provider & { name: Name } {
  const { chat, ...rest } = definition
  return {
    ...openAiCompatible(definition.name, definition.baseUrl, chat),
    builtIn: true,
    keyOptional: false,
    ...rest,
  }
}

/** Any server that speaks OpenAI's Chat Completions API: the start of a provider made by config. */
export function openAiCompatible(name: string, baseUrl: string, chat: ChatQuirks = {}): Provider {
  return {
    name,
    builtIn: false,
    docs: '',
    baseUrl,
    apiKeyEnv: defaultKeyEnv(name),
    keyOptional: true,
    dialects: ['chat'],
    models: {},
    otherModels: 'pinned',
    ownPrefix: '',
    onHub: false,
    headers: {},
    passHeaders: [],
    raw: false,
    timeouts: defaultTimeouts,
    pricing: {},
    capabilities: {},
    codes: {},
    adapt: chatAdapter(chat),
  }
}
