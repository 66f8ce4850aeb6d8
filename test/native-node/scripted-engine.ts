// A TokenEngine whose answers are written down: for tests of everything above the engine.
import type { EngineLoad, TokenEngine } from '../../native-node/server/engine.ts'
import type { GenerateParams } from '../../native-node/server/generate-params.ts'
import type { GenerationStep } from '../../native-node/server/sequence.ts'
import { idsOf, o200kVocabulary } from './vocabulary.ts'

export interface Script {
  /** The generation, control tokens by name. */
  text: string
  finish?: 'stop' | 'length'
  /** Tokens of one engine step. */
  perStep?: number
  /** Thrown when the text has been given. */
  error?: unknown
  logprobs?: boolean
  /** Tokens that were guessed from the prediction, and those that came true. */
  predicted?: readonly [drafted: number, accepted: number]
  /** Awaited before each step. */
  gate?: () => Promise<void>
}

export interface Call {
  prompt: readonly number[]
  params: GenerateParams
  /** Set when the generation is over or nobody wants it any more. */
  left: boolean
}

/** Plays one script per call of generate, in order; the last one again and again. */
export class ScriptedEngine implements TokenEngine {
  readonly vocabulary = o200kVocabulary()
  readonly contextLength = 4096
  readonly defaults = { temperature: 1, topP: 1, topK: 0, minP: 0 }
  readonly calls: Call[] = []
  readonly #scripts: Script[]

  constructor(...scripts: Script[]) {
    this.#scripts = scripts
  }

  generate(prompt: readonly number[], params: GenerateParams, signal?: AbortSignal) {
    signal?.throwIfAborted()
    const call: Call = { prompt, params, left: false }
    const script = this.#scripts[Math.min(this.calls.length, this.#scripts.length - 1)]!
    this.calls.push(call)
    signal?.addEventListener('abort', () => (call.left = true))
    return this.#play(script, call, signal)
  }

  async *#play(script: Script, call: Call, signal: AbortSignal | undefined) {
    const { perStep = 1, finish = 'stop', gate, error } = script
    const ids = idsOf(script.text)
    const [predictedDrafted, predictedAccepted] = script.predicted ?? [0, 0]
    const shared = {
      promptTokens: call.prompt.length,
      cachedTokens: 3,
      predictedDrafted,
      predictedAccepted,
    }
    try {
      for (let at = 0; at < ids.length; at += perStep) {
        await (gate?.() ?? Promise.resolve())
        signal?.throwIfAborted()
        const some = ids.slice(at, at + perStep)
        const step: GenerationStep = { ids: some, ...shared }
        if (script.logprobs) {
          step.logprobs = some.map((id) => ({ logprob: -id / 1e6, top: [[id, -id / 1e6]] }))
        }
        if (at + perStep >= ids.length && error === undefined) step.finish = finish
        yield step
      }
      if (error !== undefined) throw error
    } finally {
      call.left = true
    }
  }

  load(): EngineLoad {
    const none = {
      running: 0,
      waiting: 0,
      kvUsed: 0,
      kvTotal: 1,
      tokensPerSecond: 0,
      drafted: 0,
      accepted: 0,
    }
    return { ...none, slots: 1, queueLimit: 1 }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
