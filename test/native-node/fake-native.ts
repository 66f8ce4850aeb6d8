// A native engine and tokenizer that do nothing by themselves: the test says what the engine delivers.
import type {
  NativeAddon,
  NativeEngine,
  NativeEngineInfo,
  NativeGenerateRequest,
  NativeTokenEvent,
  NativeTokenizer,
} from '../../native-node/server/binding.ts'

const info: NativeEngineInfo = {
  isa: 'scalar',
  mode: 'exact',
  head: 'exact',
  dense: 'bf16',
  threads: 1,
  numHiddenLayers: 1,
  hiddenSize: 32,
  numExperts: 4,
  expertsPerToken: 2,
  vocabSize: 300,
  maxContext: 100,
  maxSequences: 2,
  speculate: 0,
  weightBytes: 1,
  headBytes: 0,
  kvBytes: 1,
  kvTokens: 1000,
  loadSeconds: 0,
  weightsCache: '',
}

export class FakeNativeEngine implements NativeEngine {
  readonly info: NativeEngineInfo
  readonly submitted: NativeGenerateRequest[] = []
  readonly cancelled: number[] = []
  closed = false
  submitError: Error | undefined
  #deliver: (events: NativeTokenEvent[]) => void = () => {}

  constructor(changes: Partial<NativeEngineInfo> = {}) {
    this.info = { ...info, ...changes }
  }

  start(onEvents: (events: NativeTokenEvent[]) => void): void {
    this.#deliver = onEvents
  }

  submit(request: NativeGenerateRequest): number {
    if (this.submitError) throw this.submitError
    return this.submitted.push(request)
  }

  cancel(sequence: number): void {
    this.cancelled.push(sequence)
  }

  /** What the engine's next step brings. */
  deliver(...events: (Partial<NativeTokenEvent> & { sequence: number })[]): void {
    this.#deliver(
      events.map((event) => ({
        ids: new Int32Array(),
        promptTokens: 1,
        cachedTokens: 0,
        draftedTokens: 0,
        acceptedTokens: 0,
        predictedDrafted: 0,
        predictedAccepted: 0,
        ...event,
      })),
    )
  }

  stats() {
    const none = { running: 0, waiting: 0, tokensGenerated: 0, tokensPrefilled: 0 }
    const guesses = { tokensDrafted: 9, tokensAccepted: 6 }
    return { ...none, ...guesses, kvTokensUsed: 7, kvTokensTotal: 70, tokensPerSecond: 5 }
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

const specials: Record<string, number> = {
  '<|start|>': 256,
  '<|end|>': 257,
  '<|message|>': 258,
  '<|channel|>': 259,
  '<|constrain|>': 260,
  '<|return|>': 261,
  '<|call|>': 262,
  '<|endoftext|>': 263,
  '<|reserved_264|>': 264,
}

/** One id a byte, and the control tokens. */
export function byteTokenizer(names: Record<string, number> = specials): NativeTokenizer {
  const byId = new Map(Object.entries(names).map(([name, id]) => [id, name]))
  const bytes = (text: string | Uint8Array) => Int32Array.from(Buffer.from(text))
  return {
    vocabSize: Math.max(256, ...byId.keys()) + 1,
    encode: bytes,
    encodeAsync: async (text) => bytes(text),
    decode: (ids) =>
      Buffer.concat(Array.from(ids, (id) => Buffer.from(byId.get(id) ?? Uint8Array.of(id)))),
    isSpecial: (id) => byId.has(id),
    specialId: (name) => names[name] ?? -1,
    specials: () => names,
    eosIds: () => new Int32Array(),
  }
}

/** An addon that loads these two whatever it is asked for. */
export function fakeAddon(engine: NativeEngine, tokenizer = byteTokenizer()): NativeAddon {
  const unused = () => Promise.reject(new Error('not used'))
  return {
    loadEngine: async () => engine,
    loadTokenizer: async () => tokenizer,
    loadGgufTokenizer: async () => tokenizer,
    loadTiktoken: unused,
    logits: unused,
    bench: unused,
  }
}
