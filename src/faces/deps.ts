// What a face needs from its host. The gateway and `switchyard serve` each mount the same faces with their own deps.
// The way of a request: parse → plan → send (next candidate only while nothing has reached the client) → read → convert.
import type { EgressPolicy } from '../egress/egress.ts'
import type { ApiError, ErrorCode } from '../errors.ts'
import type { NewId } from '../ids.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import type { Preferences } from '../routing/preferences.ts'
import type { Seal } from '../seal.ts'
import type { KeyedStore, TurnStore } from '../store/store.ts'
import type { HostedTools } from '../tools/hosted.ts'
import type { McpTools } from '../tools/mcp/tools.ts'
import type { Guarantee } from '../tools/structured-contract.ts'
import type { Gather } from './byte-reader.ts'
import type { Deadline } from './deadline.ts'

/** A wire dialect that an upstream speaks. */
export type Dialect = 'chat' | 'responses'

/** One place that could answer a request; made by plan(), consumed by send(). */
export interface Candidate {
  /** `tools`: stands for the others, with tools that run here between their turns. */
  kind: 'provider' | 'node' | 'engine' | 'tools'
  /** Provider or node name, for headers, logs and `explain`. */
  name: string
  /** The model's id at that place. */
  model: string
  /** In order of preference; the face takes its own dialect when it is listed. */
  dialects: readonly Dialect[]
  /** Last change to a request body in that place's dialect before it leaves (drop, rename, map); returns what it dropped. */
  adapt?: (
    body: Record<string, unknown>,
    dialect: Dialect,
  ) => { body: Record<string, unknown>; dropped: string[] }
  /** True where reasoning arrives inline as <think> or <reasoning> tags in content. */
  inlineReasoning?: boolean
  /** Copy the client's raw body and the upstream's raw bytes (same dialect only). */
  raw?: boolean
  /** How long its answer may be silent, and how large it may be. Unset: no limit but the client's patience. */
  limits?: AnswerLimits
  /** The longest Retry-After that is waited for, where there is no other place; unset: ten seconds. */
  retryAfterMs?: number
  /** The public model that it answers for; a prompt too long for one model is not sent to it again elsewhere. */
  publicId?: string
  /** Goes on from a last message of the assistant: may continue an answer that was cut elsewhere. */
  assistantPrefix?: boolean
  /** It is called with a key of the client's own: that one is limited or refused says nothing of the place. */
  clientKey?: boolean
  /** What it makes of JSON schemas; unset: it does its best. */
  structured?: Guarantee | undefined
  /** It runs hosted tools and MCP itself: they are handed on. */
  runsTools?: boolean
  /** The request wants no place that would leave a parameter out. */
  requireParameters?: boolean
  /** Whether it is asked to stream for a client that is not: unset, while another candidate could answer instead. */
  streamWhole?: boolean | undefined
  /** Error code for a stream that is cut before its end: `node_lost` for nodes, `upstream_error` otherwise. */
  lostCode: ErrorCode
}

export interface AnswerLimits {
  /** From the response headers to the first output of the model. */
  firstByteMs: number
  /** From one byte to the next, while someone waits for it. */
  idleMs: number
  /** From the response headers to the end: an upstream that drips is never silent. */
  totalMs?: number
  maxBytes: number
}

/** One call to one candidate. */
export interface UpstreamCall {
  dialect: Dialect
  /** Complete request body in that dialect, model id already replaced. */
  body: Record<string, unknown>
  stream: boolean
  /** With `stream`: an answer in one piece is as welcome, as the client itself did not ask for a stream. */
  wholeWillDo?: boolean
  /** Aborted when the client is gone, or the deadline has passed: all work upstream must stop. */
  signal: AbortSignal
  /** Bounds the wait for a provider's headers, and for what the face reads in one piece. Its maker clears it. */
  deadline?: Deadline
}

export interface PlanContext {
  /** The client's model id as given, suffix included. */
  model: string
  /** The canonical request, for capability filters. */
  request: ResponsesRequest
  /** What the request says about who may answer. */
  preferences?: Preferences | undefined
}

/** What tells one place, and one model there, from another. */
export interface Place {
  kind: string
  name: string
  model: string
}

/** What is remembered of places from one request to the next. The send loop tells it; it never throws. */
export interface PlaceHealth {
  /** A call to the place begins. */
  began(place: Place, now: number): void
  /** Its first output came so long after the call had begun. */
  spoke(place: Place, afterMs: number, now: number): void
  /** The answer to a call that began then has ended well. */
  answered(place: Place, began: number, now: number): void
  /** So many tokens came in so long after the first. */
  generated(place: Place, tokens: number, inMs: number, now: number): void
  /**
   * A call that began then failed, and the fault is the place's own: no answer, 5xx, a timeout, a stream that was cut after
   * output had come for so long (undefined: none had).
   */
  failed(place: Place, began: number, flowedMs: number | undefined, now: number): void
  /** It asked to be left alone for so long (429 with Retry-After). */
  limited(place: Place, forSeconds: number, now: number): void
  /** True where the same place may be asked a second time for one request; that retry is then spent. */
  takeRetry(place: Place, now: number): boolean
}

/** What the client's headers or the host's config ask of the send loop. */
export interface Wishes {
  /** The header that names the order of places. */
  order?: string | null
  /** A stream that is cut may go on at another place. */
  rescue?: boolean
  /** A second place is asked as well when the first has said nothing for so long. */
  hedgeAfterMs?: number | undefined
}

export interface FaceDeps {
  /** Candidates in policy order, at least one; throws ApiError (`model_not_found`, `provider_not_found`, `provider_not_configured`, `unsupported_content`, …). */
  plan(context: PlanContext): Promise<Candidate[]>
  /** A 2xx Response whose body is the dialect's JSON or SSE, or throws ApiError with `retryable` set where the next candidate may be tried. */
  send(candidate: Candidate, call: UpstreamCall): Promise<Response>
  /** Milliseconds since the epoch. */
  now(): number
  newId: NewId
  /** For bursts of an upstream, where the host has a cheaper way to read them. */
  gather?: Gather
  /** Limit of a request body in bytes. */
  maxBodyBytes: number
  /** Family of reasoning events for Responses clients. */
  reasoningEvents: 'reasoning_text' | 'reasoning' | 'summary'
  /** Seals what the caller carries for us, bound to its tenant; absent: encrypted reasoning is not offered. */
  seal?: Seal
  /** Where responses are kept, bound to the caller; absent: `store` is answered with false and no earlier id is known. */
  state?: TurnStore
  /** Answers under keys of the client's own, bound to the caller; absent: a request that brings a key is refused. */
  idempotency?: KeyedStore
  /** Told before tools are called, with the id of the response that is kept: rejects where they must not be. */
  acting?: (response: string | undefined) => Promise<void>
  /** Tools that run at our nodes, bound to the caller; absent: none can be asked. */
  hosted?: HostedTools
  /** The way to remote MCP servers; absent: none is called. */
  mcp?: () => McpTools
  /** Unset: every place is well, and the same place is never asked twice. */
  health?: PlaceHealth
  wishes?: Wishes
  /** Text of an upstream without the credentials that it was sent: some repeat them in their errors. */
  redact?: (text: string, candidate: Candidate) => string
  /** How many tokens a request is for a candidate; undefined where that place cannot say. Unset: nobody can. */
  countTokens?: (
    candidate: Candidate,
    request: ResponsesRequest,
    signal: AbortSignal,
  ) => Promise<number | undefined>
  /** Told once when the answer has ended; never awaited by the stream. */
  onEnd?: (outcome: Outcome) => void
  /** Which URLs of a request may be handed on; unset: all public ones. */
  egress?: EgressPolicy
  /** An error in the client's own shape, where that is not OpenAI's. */
  errorResponse?: (error: ApiError) => Response
  /** A cause worth logging (upstream faults, bugs); prompt text never passes here. */
  onError?: (error: unknown, candidate?: Candidate) => void
}

/** A call of a place that failed. */
export interface FailedCall {
  name: string
  error: string
  candidate?: Candidate
}

/** What became of one request. */
export interface Outcome {
  /** Who answered, or was about to when the client left. */
  candidate: Candidate | undefined
  status: 'completed' | 'incomplete' | 'failed' | 'cancelled'
  usage:
    | {
        input_tokens: number
        output_tokens: number
        input_tokens_details?: { cached_tokens: number }
      }
    | undefined
  /** Calls that failed before. */
  attempts: FailedCall[]
  /** Where tools run here: what became of each turn of the model. */
  turns?: readonly Outcome[] | undefined
  /** As the client named it; unset where its request was not understood. */
  model?: string | undefined
  /** By `now`. */
  startedAt: number
  /** When the first output of a stream came. */
  firstOutputAt?: number | undefined
  /** What it failed with. */
  error?: ErrorCode | undefined
}
