// The native engine as a node's backend: one model, canonical Responses requests in, canonical events out.
import type { UpstreamCall } from '../../src/faces/deps.ts'
import type { MetricFamily } from '../../src/metrics/families.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'
import type { NodeModel, Status } from '../../src/tunnel/messages.ts'
import type { Backend } from './backend.ts'
import type { TokenEngine } from './engine.ts'
import { Responder, type ResponderOptions } from './responder.ts'

export class EngineBackend implements Backend {
  readonly models: readonly NodeModel[]
  readonly slots: number
  readonly #engine: TokenEngine
  readonly #responder: Responder

  constructor(options: ResponderOptions) {
    const { engine, model } = options
    this.#engine = engine
    this.#responder = new Responder(options)
    this.slots = engine.load().slots
    this.models = [
      {
        id: model,
        dialects: ['responses'],
        context_length: engine.contextLength,
        input_modalities: ['text'],
        supports_tools: true,
        checks_output: true,
      },
    ]
  }

  /** Async, so that what is refused at once rejects as well. */
  async send(_model: NodeModel, { body, stream, signal }: UpstreamCall): Promise<Response> {
    return this.#responder.respond(parseResponsesRequest(body), { stream, signal })
  }

  countTokens(_model: NodeModel, body: Record<string, unknown>): Promise<number> {
    return this.#responder.countTokens(parseResponsesRequest(body))
  }

  status(): Status {
    const { running, waiting, slots, queueLimit, kvUsed, kvTotal, tokensPerSecond } =
      this.#engine.load()
    return {
      running,
      waiting,
      slots,
      queue_limit: queueLimit,
      kv_used: kvUsed,
      kv_total: kvTotal,
      tokens_per_second: tokensPerSecond,
    }
  }

  metrics(): MetricFamily[] {
    return this.#engine.metrics?.() ?? []
  }

  close(): Promise<void> {
    return this.#engine.close()
  }
}
