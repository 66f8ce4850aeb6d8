// One Chat chunk (or whole answer) of any server as one shape. Every quirk of reading lives here, so that what follows
// knows only this: reasoning under four names, content as string or parts, usage in three places, errors inside 200.
import { usageFromChat } from '../convert/usage.ts'
import { isObject } from '../protocol/check.ts'
import type { Logprob, ResponseUsage } from '../protocol/responses.ts'
import type { CallDelta } from './tool-calls.ts'

export interface NormalizedChunk {
  reasoning: string
  content: string
  refusal: string
  calls: CallDelta[]
  logprobs: Logprob[]
  /** As the server wrote it; undefined where it is absent or null. */
  finishReason: string | undefined
  /** What the server says beside it (vLLM: the stop string that was hit). */
  stopReason: string | undefined
  usage: ResponseUsage | undefined
  /** An error in place of an answer. */
  error: { message: string; code: string | undefined; status: number | undefined } | undefined
  /** True where the chunk has a `choices` array: else it is something else than a completion. */
  isCompletion: boolean
}

/** Reads a parsed chunk, delta or whole message; never throws. */
export function normalizeChunk(chunk: unknown): NormalizedChunk {
  const normalized: NormalizedChunk = {
    reasoning: '',
    content: '',
    refusal: '',
    calls: [],
    logprobs: [],
    finishReason: undefined,
    stopReason: undefined,
    usage: undefined,
    error: undefined,
    isCompletion: false,
  }
  if (!isObject(chunk)) return normalized
  normalized.error = errorOf(chunk)
  normalized.usage =
    usageFromChat(chunk.usage) ??
    // Groq, older API versions.
    (isObject(chunk.x_groq) ? usageFromChat(chunk.x_groq.usage) : undefined)
  if (!Array.isArray(chunk.choices)) return normalized
  normalized.isCompletion = true
  for (const choice of chunk.choices) {
    // n is always 1 with us; a server that sends more choices has misread the request.
    if (isObject(choice) && (choice.index ?? 0) === 0) readChoice(choice, normalized)
  }
  return normalized
}

function readChoice(choice: Record<string, unknown>, into: NormalizedChunk): void {
  if (typeof choice.finish_reason === 'string') into.finishReason = choice.finish_reason
  // vLLM's name for the stop string that was hit, and SGLang's.
  const stopReason = choice.stop_reason ?? choice.matched_stop
  if (typeof stopReason === 'string') into.stopReason = stopReason
  const delta = isObject(choice.delta) ? choice.delta : choice.message
  if (isObject(delta)) {
    into.reasoning += reasoningOf(delta)
    if (typeof delta.content === 'string') into.content += delta.content
    else if (Array.isArray(delta.content)) readParts(delta.content, into)
    if (typeof delta.refusal === 'string') into.refusal += delta.refusal
    // `tool_calls: []` in every delta means nothing (vercel/ai #20203).
    if (Array.isArray(delta.tool_calls)) {
      for (const call of delta.tool_calls) if (isObject(call)) into.calls.push(callDelta(call))
    }
    if (isObject(delta.function_call)) into.calls.push(callDelta({ function: delta.function_call }))
  }
  if (isObject(choice.logprobs) && Array.isArray(choice.logprobs.content)) {
    for (const entry of choice.logprobs.content) {
      const logprob = logprobOf(entry)
      if (logprob !== undefined) into.logprobs.push(logprob)
    }
  }
}

/** Reasoning, whatever the server calls it; servers that send two names send the same text twice. */
function reasoningOf(delta: Record<string, unknown>): string {
  for (const value of [delta.reasoning, delta.reasoning_content, delta.thinking]) {
    if (typeof value === 'string' && value !== '') return value
  }
  if (!Array.isArray(delta.reasoning_details)) return ''
  let text = ''
  for (const detail of delta.reasoning_details) {
    if (!isObject(detail)) continue
    if (typeof detail.text === 'string') text += detail.text
    // OpenRouter, where a model gives no more than a summary.
    else if (typeof detail.summary === 'string') text += detail.summary
  }
  return text
}

/** Mistral's content parts: `text`, and `thinking` with parts of its own. */
function readParts(parts: unknown[], into: NormalizedChunk): void {
  for (const part of parts) {
    if (!isObject(part)) continue
    if (typeof part.text === 'string') into.content += part.text
    else if (typeof part.refusal === 'string') into.refusal += part.refusal
    else if (typeof part.thinking === 'string') into.reasoning += part.thinking
    else if (Array.isArray(part.thinking)) {
      for (const inner of part.thinking) {
        if (isObject(inner) && typeof inner.text === 'string') into.reasoning += inner.text
      }
    }
  }
}

function callDelta(call: Record<string, unknown>): CallDelta {
  const definition = isObject(call.function) ? call.function : {}
  const { arguments: args, name } = definition
  return {
    index: typeof call.index === 'number' ? call.index : undefined,
    id: typeof call.id === 'string' && call.id !== '' ? call.id : undefined,
    name: typeof name === 'string' && name !== '' ? name : undefined,
    // Ollama's own form has an object here.
    arguments: typeof args === 'string' ? args : isObject(args) ? JSON.stringify(args) : '',
  }
}

function logprobOf(entry: unknown): Logprob | undefined {
  const token = tokenOf(entry)
  if (token === undefined || !isObject(entry)) return undefined
  const top = Array.isArray(entry.top_logprobs) ? entry.top_logprobs.map(tokenOf) : []
  return { ...token, top_logprobs: top.filter((found) => found !== undefined) }
}

function tokenOf(entry: unknown) {
  if (!isObject(entry) || typeof entry.token !== 'string' || typeof entry.logprob !== 'number') {
    return undefined
  }
  const bytes = Array.isArray(entry.bytes) ? entry.bytes.filter(Number.isInteger) : []
  return { token: entry.token, logprob: entry.logprob, bytes }
}

/** An error object in a 200 answer: `{error}`, vLLM's `{object:"error"}`, Cerebras' bare `{message,type,code}`. */
function errorOf(chunk: Record<string, unknown>): NormalizedChunk['error'] {
  const nested = chunk.error
  if (typeof nested === 'string') return { message: nested, code: undefined, status: undefined }
  const bare =
    !Array.isArray(chunk.choices) && typeof chunk.message === 'string' ? chunk : undefined
  const error = isObject(nested) ? nested : chunk.object === 'error' ? chunk : bare
  if (error === undefined) return undefined
  const { message, code } = error
  const status = [code, error.status, chunk.status_code, chunk.status].find(
    (value): value is number => typeof value === 'number' && value >= 400 && value < 600,
  )
  return {
    message: typeof message === 'string' ? message : 'The upstream sent an error.',
    code: typeof code === 'string' ? code : undefined,
    status,
  }
}
