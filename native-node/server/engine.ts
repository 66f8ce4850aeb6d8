// The native engine as TypeScript sees it: prompt ids in, an async iterable of generated ids out, with an abort signal.
// Arguments are checked here, by name, before C++ sees them. Knows tokens, not chat.
import { join } from 'node:path'
import { ApiError } from '../../src/errors.ts'
import { type MetricFamily, single } from '../../src/metrics/families.ts'
import {
  type EngineDense,
  type EngineHead,
  type EngineIsa,
  type EngineMode,
  loadAddon,
  type NativeAddon,
  type NativeConstraints,
  type NativeEngine,
  type NativeEngineInfo,
  type NativeTokenEvent,
  type NativeTokenizer,
} from './binding.ts'
import { assertFits, closing, engineError, retryAfterSeconds } from './engine-errors.ts'
import { findModel, type ModelPlace } from './find-model.ts'
import { type AnswerConstraints, checkParams, type GenerateParams } from './generate-params.ts'
import { GenerationMetrics } from './generation-metrics.ts'
import {
  type GenerationConfig,
  ModelFolderError,
  plainSampling,
  readGenerationConfig,
  type SamplingDefaults,
} from './model-files.ts'
import { type GenerationStep, Sequence } from './sequence.ts'
import { control, controlIds, nativeVocabulary, type Vocabulary } from './vocabulary.ts'

export interface LoadOptions {
  /** Folder with config.json, tokenizer.json and *.safetensors, or a GGUF file, or a folder with one. */
  modelDir: string
  mode?: EngineMode
  isa?: EngineIsa
  head?: EngineHead
  dense?: EngineDense
  /** Folder for a file of the packed weights; absent: none. */
  weightsCache?: string
  threads?: number
  /** Sequences that run at once; more wait. */
  maxSequences?: number
  maxContext?: number
  kvBytes?: number
  prefillChunk?: number
  /** Guessed tokens that a step may verify for a sequence; 0: no speculation. */
  speculate?: number
  /** Sequences that may wait before new ones are refused. */
  queueLimit?: number
  onProgress?: (fraction: number) => void
  /** Instead of the built addon; for tests. */
  addon?: NativeAddon
}

export interface EngineLoad {
  running: number
  waiting: number
  slots: number
  queueLimit: number
  kvUsed: number
  kvTotal: number
  tokensPerSecond: number
  /** Guessed tokens that were run since the start, and those that came true. */
  drafted: number
  accepted: number
}

/** Tokens in, tokens out; what the responder needs of an engine. */
export interface TokenEngine {
  readonly vocabulary: Vocabulary
  /** Prompt and answer together. */
  readonly contextLength: number
  readonly defaults: SamplingDefaults
  /**
   * Queues a generation at once. Throws ApiError before anything runs (`context_length_exceeded`, `no_capacity`,
   * `invalid_value`); the iterable throws the signal's reason once it is aborted. Leaving the iteration cancels.
   */
  generate(
    prompt: readonly number[],
    params: GenerateParams,
    signal?: AbortSignal,
  ): AsyncIterable<GenerationStep>
  load(): EngineLoad
  metrics?(): MetricFamily[]
  close(): Promise<void>
}

type Controls = ReturnType<typeof controlIds>

const defaultQueueLimit = 64

/** Loads a model's weights and tokenizer; rejects with an Error that carries a `code`. */
export async function loadNodeEngine(options: LoadOptions): Promise<NodeEngine> {
  const { modelDir, queueLimit, onProgress, addon = loadAddon(), ...rest } = options
  // First of all, as it is quick and says best what is wrong with a folder.
  const model = await findModel(modelDir)
  const { tokenizer, generation } = await loadText(addon, model)
  const native = await addon.loadEngine({ modelPath: model.path, ...rest }, onProgress)
  try {
    return new NodeEngine(native, tokenizer, generation, queueLimit)
  } catch (error) {
    await native.close()
    if (!(error instanceof ModelFolderError)) throw error
    throw new ModelFolderError(error.code, `${model.path}: ${error.message}`, { cause: error })
  }
}

/** All but the weights: the tokenizer, and what the files say of generation. */
async function loadText(addon: NativeAddon, { kind, path }: ModelPlace) {
  if (kind === 'safetensors') {
    const generation = await readGenerationConfig(path)
    return { generation, tokenizer: await addon.loadTokenizer(join(path, 'tokenizer.json')) }
  }
  const tokenizer = await addon.loadGgufTokenizer(path)
  const generation = { eosIds: Array.from(tokenizer.eosIds()), defaults: plainSampling }
  return { generation, tokenizer }
}

/** One loaded model. */
export class NodeEngine implements TokenEngine {
  readonly vocabulary: Vocabulary
  readonly contextLength: number
  readonly defaults: SamplingDefaults
  readonly #native: NativeEngine
  readonly #tokenizer: NativeTokenizer
  readonly #controls: Controls
  readonly #queueLimit: number
  readonly #stopIds: Int32Array
  readonly #neverIds: Int32Array
  /** The control tokens: a penalty on them would change a message's form, not its words. */
  readonly #unpenalizedIds: Int32Array
  /** Sequences that have not finished, by their number. */
  readonly #sequences = new Map<number, Sequence>()
  readonly #metrics = new GenerationMetrics()

  constructor(
    native: NativeEngine,
    tokenizer: NativeTokenizer,
    { eosIds, defaults }: GenerationConfig,
    queueLimit = defaultQueueLimit,
  ) {
    const { info } = native
    if (tokenizer.vocabSize > info.vocabSize) {
      throw new ModelFolderError(
        'unsupported',
        `The tokenizer has ${tokenizer.vocabSize} ids, the model only ${info.vocabSize}.`,
      )
    }
    this.#native = native
    this.#queueLimit = queueLimit
    this.defaults = defaults
    this.vocabulary = nativeVocabulary(tokenizer)
    // A sequence can not outgrow the cache it is the only user of.
    this.contextLength = Math.min(info.maxContext, info.kvTokens)
    const controls = harmonyControls(this.vocabulary)
    const stop = stopIds(controls, eosIds, info.vocabSize)
    this.#tokenizer = tokenizer
    this.#controls = controls
    this.#stopIds = Int32Array.from(stop)
    this.#neverIds = Int32Array.from(neverIds(tokenizer, info.vocabSize, stop))
    this.#unpenalizedIds = Int32Array.from(Object.values(controls).filter((id) => id >= 0))
    native.start((events) => this.#deliver(events))
  }

  get info(): NativeEngineInfo {
    return this.#native.info
  }

  generate(
    prompt: readonly number[],
    params: GenerateParams,
    signal?: AbortSignal,
  ): AsyncIterable<GenerationStep> {
    signal?.throwIfAborted()
    assertFits(prompt.length, this.contextLength)
    checkParams(params, this.info.vocabSize)
    this.#checkCapacity()
    const room = this.contextLength - prompt.length
    const id = this.#submit(prompt, params, Math.min(params.maxTokens ?? room, room))
    const sequence = new Sequence(() => this.#native.cancel(id), signal)
    this.#sequences.set(id, sequence)
    this.#metrics.submitted(id, performance.now())
    return sequence
  }

  load(): EngineLoad {
    const { kvTokensUsed, kvTokensTotal, tokensPerSecond, tokensDrafted, tokensAccepted } =
      this.#native.stats()
    const slots = this.info.maxSequences
    const active = this.#sequences.size
    return {
      running: Math.min(active, slots),
      waiting: Math.max(0, active - slots),
      slots,
      queueLimit: this.#queueLimit,
      kvUsed: kvTokensUsed,
      kvTotal: kvTokensTotal,
      tokensPerSecond,
      drafted: tokensDrafted,
      accepted: tokensAccepted,
    }
  }

  metrics(): MetricFamily[] {
    const { drafted, accepted } = this.load()
    return [
      ...this.#metrics.families(),
      single('counter', 'switchyard_draft_tokens_total', 'Guessed tokens that were run.', drafted),
      single(
        'counter',
        'switchyard_accepted_draft_tokens_total',
        'Those of them that came true.',
        accepted,
      ),
    ]
  }

  /** Ends every generation and frees the weights. */
  async close(): Promise<void> {
    for (const sequence of this.#sequences.values()) sequence.fail(closing())
    this.#sequences.clear()
    await this.#native.close()
  }

  #checkCapacity(): void {
    // Counted here and not asked of the engine: what was submitted in this turn counts at once.
    if (this.#sequences.size < this.info.maxSequences + this.#queueLimit) return
    throw new ApiError('no_capacity', 'This node is at its limit of waiting requests.', {
      retryable: true,
      retryAfter: retryAfterSeconds,
    })
  }

  #submit(prompt: readonly number[], params: GenerateParams, maxTokens: number): number {
    const { defaults } = this
    try {
      return this.#native.submit({
        prompt: Int32Array.from(prompt),
        stopIds: this.#stopIds,
        neverIds: this.#neverIds,
        prefixEnds: prefixEnds(prompt, this.#controls.start),
        // No answer is longer.
        predicted: Int32Array.from(
          params.predicted?.slice(0, this.contextLength - prompt.length) ?? [],
        ),
        constraints: params.constraints && this.#constraints(params.constraints),
        maxTokens,
        temperature: params.temperature ?? defaults.temperature,
        topP: params.topP ?? defaults.topP,
        topK: params.topK ?? defaults.topK,
        minP: params.minP ?? defaults.minP,
        seed: params.seed ?? randomSeed(),
        frequencyPenalty: params.frequencyPenalty ?? 0,
        presencePenalty: params.presencePenalty ?? 0,
        repetitionPenalty: params.repetitionPenalty ?? 1,
        unpenalizedIds: this.#unpenalizedIds,
        logitBias: params.logitBias ?? [],
        topLogprobs: params.topLogprobs ?? -1,
      })
    } catch (cause) {
      throw engineError(cause)
    }
  }

  #constraints({ messages, headers }: AnswerConstraints): NativeConstraints {
    const { end, message } = this.#controls
    return {
      tokenizer: this.#tokenizer,
      contentId: message,
      partIds: Int32Array.of(end, ...this.#stopIds),
      parts: messages.map(({ headerWords, grammar, end }) => {
        return { headerWords, grammar, endIds: Int32Array.of(this.#controls[end]) }
      }),
      headers,
    }
  }

  #deliver(events: readonly NativeTokenEvent[]): void {
    const now = performance.now()
    for (const event of events) {
      this.#metrics.took(event, now)
      const sequence = this.#sequences.get(event.sequence)
      if (event.finish !== undefined) this.#sequences.delete(event.sequence)
      sequence?.take(event)
    }
  }
}

function harmonyControls(vocabulary: Vocabulary): Controls {
  try {
    return controlIds(vocabulary)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ModelFolderError('unsupported', `${reason}: not a gpt-oss model.`, { cause })
  }
}

/** Ends of the first two messages, system and developer: what conversations with one application have in common. */
function prefixEnds(prompt: readonly number[], start: number): Int32Array {
  const second = prompt.indexOf(start, 1)
  const third = second < 0 ? -1 : prompt.indexOf(start, second + 1)
  return Int32Array.from([second, third].filter((end) => end > 0))
}

/**
 * `<|return|>`, `<|call|>` and `<|endoftext|>` end an answer whatever the files say; most files forget `<|call|>`. What stands
 * within an answer does not: where `<|end|>` ended it, a model would think and say nothing.
 */
function stopIds(controls: Controls, eosIds: readonly number[], modelSize: number): number[] {
  // Said once, here, and not to everybody who asks the model for something.
  const stray = eosIds.find((id) => id < 0 || id >= modelSize)
  if (stray !== undefined) {
    const message = `eos_token_id ${stray} is not one of the model's ${modelSize} ids.`
    throw new ModelFolderError('invalid_file', message)
  }
  const { start, channel, constrain, message, end } = controls
  const within = new Set([start, channel, constrain, message, end])
  const named = [controls.return, controls.call, controls.endOfText].filter((id) => id >= 0)
  return [...new Set([...named, ...eosIds])].filter((id) => !within.has(id))
}

/** Ids that mean nothing in an answer: reserved specials, and rows of the model that no token uses. */
function neverIds(tokenizer: NativeTokenizer, modelSize: number, stop: readonly number[]) {
  const meant = new Set<string>(Object.values(control))
  const never = Object.entries(tokenizer.specials())
    .filter(([name, id]) => !meant.has(name) && !stop.includes(id))
    .map(([, id]) => id)
  for (let id = tokenizer.vocabSize; id < modelSize; id++) never.push(id)
  return never
}

function randomSeed(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!
}
