// What is known of a model at a provider: routing filters, ranks and lists by it. Nothing here is asked of a provider.

/** USD per million tokens. */
export interface Price {
  input: number
  output: number
}

/** What a model can do at a provider. A field that is absent is not known, and nothing is refused for it. */
export interface Capabilities {
  /** `text`, `image`, `file`, `audio`, `video` */
  inputModalities?: readonly string[] | undefined
  /** Function tools. */
  tools?: boolean | undefined
  /**
   * `json_schema` as an output format: false, it would be refused; `guaranteed`, its documentation promises that a `strict` one
   * is kept, so that nobody need check it.
   */
  structuredOutput?: boolean | 'guaranteed' | undefined
  /** It promises the same of the arguments of `strict` functions. */
  strictArguments?: boolean | undefined
  /** Where there is no `json_schema`: `json_object`. */
  jsonObject?: boolean | undefined
  /** Its thoughts come in front of the answer, between <think> or <reasoning> tags. */
  inlineReasoning?: boolean | undefined
  /** Goes on from a last message of the assistant, instead of answering it. */
  assistantPrefix?: boolean | undefined
  /** Tokens of prompt and answer together. */
  contextLength?: number | undefined
  price?: Price | undefined
  /** Before anything was measured: where `:fastest` starts from. */
  firstTokenMs?: number | undefined
  tokensPerSecond?: number | undefined
}

/** The key of `capabilities` and `pricing` that stands for every model of the provider. */
export const everyModel = '*'

/** What is known of a public model id at a provider: its own entry over that of every model. */
export function capabilitiesOf(
  provider: {
    capabilities: Readonly<Record<string, Omit<Capabilities, 'price'>>>
    pricing: Readonly<Record<string, Price>>
  },
  publicId: string,
): Capabilities {
  const { capabilities, pricing } = provider
  const price = own(pricing, publicId) ?? own(pricing, everyModel)
  return {
    ...own(capabilities, everyModel),
    ...own(capabilities, publicId),
    ...(price === undefined ? {} : { price }),
  }
}

/** Ids come from clients: `constructor` is one. */
function own<Value>(table: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined
}
