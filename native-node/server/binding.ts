// The typed surface of the native addon, and the one place that loads it.
// C++ trusts what passes here: server/engine.ts checks arguments and names the mistake.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Grammar } from './grammar/grammar.ts'
import { buildFolder } from './installation.ts'

export type EngineMode = 'exact' | 'bf16' | 'fast'
/** Whether an int8 copy of the head tells which of its rows can win; `auto` makes one where it pays. */
export type EngineHead = 'auto' | 'screened' | 'exact'
/** Attention's matrices: as they are, or as int8 (mode fast only). */
export type EngineDense = 'bf16' | 'int8'
export type EngineIsa = 'auto' | 'scalar' | 'avx2' | 'avx512' | 'neon'

/** Mirrors EngineOptions in include/engine.h; 0 or absent means the engine's default. */
export interface NativeEngineOptions {
  modelPath: string
  mode?: EngineMode
  isa?: EngineIsa
  head?: EngineHead
  dense?: EngineDense
  /** Folder for a file of the packed weights, which spares later loads the packing; absent: none. */
  weightsCache?: string
  threads?: number
  maxSequences?: number
  prefillChunk?: number
  kvBytes?: number
  maxContext?: number
  /** Guessed tokens that a step may verify for a sequence, 0 (the default: none) to 15. */
  speculate?: number
}

export interface NativeEngineInfo {
  isa: string
  mode: EngineMode
  head: 'screened' | 'exact'
  dense: EngineDense
  threads: number
  numHiddenLayers: number
  hiddenSize: number
  numExperts: number
  expertsPerToken: number
  vocabSize: number
  maxContext: number
  maxSequences: number
  speculate: number
  weightBytes: number
  /** Of the copy that a screened head reads; 0 without one. */
  headBytes: number
  kvBytes: number
  kvTokens: number
  loadSeconds: number
  /** For the log: what became of the file of packed weights; empty where none was asked for. */
  weightsCache: string
}

/** What a part of an answer must be; mirrors PartConstraint. */
export interface NativePartConstraint {
  headerWords: readonly string[]
  /** Undefined: any text. */
  grammar: Grammar | undefined
  endIds: Int32Array
}

/** Mirrors Constraints. */
export interface NativeConstraints {
  tokenizer: NativeTokenizer
  contentId: number
  partIds: Int32Array
  parts: readonly NativePartConstraint[]
  /** From the first one on, the last for all that follow; the byte 255 and its name stand for a control token. */
  headers: readonly Grammar[]
}

/** One generation; mirrors GenerateRequest and SamplingParams. */
export interface NativeGenerateRequest {
  prompt: Int32Array
  stopIds: Int32Array
  neverIds?: Int32Array
  /** Lengths of the prompt's beginning from which other prompts may go on: hints for the prefix cache. */
  prefixEnds?: Int32Array
  /** What the answer will hold, perhaps: guesses come from here even where `speculate` is 0. */
  predicted?: Int32Array
  /** Absent: the answer is free. */
  constraints?: NativeConstraints | undefined
  /** 0: up to the context's end. */
  maxTokens: number
  temperature: number
  topP: number
  topK: number
  minP: number
  /** Unsigned 64-bit; randomness is a pure function of (seed, position). */
  seed: bigint
  frequencyPenalty: number
  presencePenalty: number
  repetitionPenalty: number
  /** Penalties leave these alone (control tokens), and stopIds too. */
  unpenalizedIds?: Int32Array
  /** [id, bias] pairs. */
  logitBias: [number, number][]
  /** -1: no logprobs; 0..20: the chosen token's logprob and that many alternatives. */
  topLogprobs: number
}

export interface NativeTokenLogprob {
  logprob: number
  top: [id: number, logprob: number][]
}

/** What one sequence got since its last event. `finish` is set on its last one. */
export interface NativeTokenEvent {
  sequence: number
  ids: Int32Array
  logprobs?: NativeTokenLogprob[]
  finish?: 'stop' | 'length' | 'cancelled' | 'error'
  error?: { code: string; message: string }
  promptTokens: number
  cachedTokens: number
  /** Guessed and run so far, and those of them that came true. */
  draftedTokens: number
  acceptedTokens: number
  /** The same, of the guesses that were taken from `predicted`. */
  predictedDrafted: number
  predictedAccepted: number
}

export interface NativeEngineStats {
  running: number
  waiting: number
  kvTokensUsed: number
  kvTokensTotal: number
  tokensGenerated: number
  tokensPrefilled: number
  /** Of speculation; accepted ones are among the generated. */
  tokensDrafted: number
  tokensAccepted: number
  tokensPerSecond: number
}

export interface NativeEngine {
  readonly info: NativeEngineInfo
  /** Starts the scheduler; `onEvents` is called once a step with every sequence's news. Keeps the process alive only while sequences run. */
  start(onEvents: (events: NativeTokenEvent[]) => void): void
  /** Queues a sequence and returns its number; throws an Error with `.code` on a bad argument. */
  submit(request: NativeGenerateRequest): number
  cancel(sequence: number): void
  stats(): NativeEngineStats
  /** Cancels everything, joins the threads off the JS thread, frees the weights. */
  close(): Promise<void>
}

export interface NativeTokenizer {
  readonly vocabSize: number
  /** Ordinary text, byte for byte: control tokens never come out. Runs on the calling thread. */
  encode(text: string | Uint8Array): Int32Array
  /** The same on a worker thread, for long inputs. */
  encodeAsync(text: string | Uint8Array): Promise<Int32Array>
  /** Concatenated bytes of the ids; a special gives its name. Throws on an id outside the vocabulary. */
  decode(ids: Int32Array): Uint8Array
  isSpecial(id: number): boolean
  /** -1 when the vocabulary lacks it. */
  specialId(name: string): number
  specials(): Record<string, number>
  /** The ends of an answer that a GGUF file names; other files keep them elsewhere. */
  eosIds(): Int32Array
}

export interface NativeLogits {
  data: Float32Array
  rows: number
  columns: number
}

/** Mirrors BenchCase. Cases of one call take turns on one loaded model. */
export interface NativeBenchCase {
  /** Reads `tokens` of each sequence at once; else generates them one by one. */
  prefill?: boolean
  tokens: number
  batch?: number
  depth?: number
  /** Generation: tokens that every step verifies for each sequence, all in vain. */
  drafted?: number
  /** Every logit, though the head could be screened. */
  exactHead?: boolean
  /** Beside a thread that takes what it can of a core. */
  busyNeighbour?: boolean
}

export interface NativeBenchOptions extends NativeEngineOptions {
  cases: NativeBenchCase[]
  repetitions: number
}

export interface NativeBenchRun {
  test: string
  batch: number
  depth: number
  drafted: number
  threads: number
  mode: EngineMode
  head: 'screened' | 'exact'
  busyNeighbour: boolean
  tokensPerSecond: number
  bytesPerToken: number
  gbPerSecond: number
  streamGbPerSecond: number
  ratio: number
  /** Tokens per second of each repetition; those of one index ran next to each other. */
  samples: number[]
}

export interface NativeBenchReport {
  info: NativeEngineInfo
  runs: NativeBenchRun[]
  loadSeconds: number
  /** The best plain read of other huge pages that the process saw. */
  bestGbPerSecond: number
  rssBytes: number
  weightBytes: number
}

/** Every rejected promise carries an Error whose `.code` is a Code of include/status.h (`invalid_file`, `unsupported`, …). */
export interface NativeAddon {
  loadEngine(
    options: NativeEngineOptions,
    onProgress?: (fraction: number) => void,
  ): Promise<NativeEngine>
  loadTokenizer(tokenizerJson: string): Promise<NativeTokenizer>
  /** The one in a GGUF file. */
  loadGgufTokenizer(file: string): Promise<NativeTokenizer>
  /** "base64 rank" lines of tiktoken; the o200k split rules. */
  loadTiktoken(ranksFile: string, specials: Record<string, number>): Promise<NativeTokenizer>
  logits(options: NativeEngineOptions, ids: Int32Array, prefill: number): Promise<NativeLogits>
  bench(
    options: NativeBenchOptions,
    onProgress?: (fraction: number) => void,
  ): Promise<NativeBenchReport>
}

const addonPath = join(buildFolder, 'switchyard.node')

let loaded: NativeAddon | undefined

/** Loads the addon once; throws with its path, and what to do, when it is not there or does not fit this machine. */
export function loadAddon(): NativeAddon {
  if (loaded) return loaded
  try {
    loaded = createRequire(import.meta.url)(addonPath) as NativeAddon
  } catch (cause) {
    if (!existsSync(addonPath))
      throw new Error(
        `The native engine is not built (${addonPath}). Start through \`switchyard\`, which builds it.`,
        { cause },
      )
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(
      `The native engine cannot be loaded: ${why}. Remove ${buildFolder} to have it built anew.`,
      { cause },
    )
  }
  return loaded
}
