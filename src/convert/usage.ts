// Token counts between the two dialects. Servers leave out details, send nulls, or put counts elsewhere.
import type { ChatUsage } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponseUsage } from '../protocol/responses.ts'

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
    ? Math.trunc(value)
    : undefined
}

function detail(usage: Record<string, unknown>, group: string, name: string): number | undefined {
  const details = usage[group]
  return isObject(details) ? count(details[name]) : undefined
}

/** What became of a prediction: there only where the request had one and the server says so. */
type PredictionCounts = Pick<
  ResponseUsage['output_tokens_details'],
  'accepted_prediction_tokens' | 'rejected_prediction_tokens'
>

function predictionCounts(usage: Record<string, unknown>, group: string): PredictionCounts {
  const accepted = detail(usage, group, 'accepted_prediction_tokens')
  const rejected = detail(usage, group, 'rejected_prediction_tokens')
  return {
    ...(accepted === undefined ? {} : { accepted_prediction_tokens: accepted }),
    ...(rejected === undefined ? {} : { rejected_prediction_tokens: rejected }),
  }
}

/** A Chat `usage` object as Responses usage; undefined where there are no counts in it. */
export function usageFromChat(usage: unknown): ResponseUsage | undefined {
  if (!isObject(usage)) return undefined
  const input = count(usage.prompt_tokens)
  const output = count(usage.completion_tokens)
  if (input === undefined && output === undefined) return undefined
  return responseUsage(
    input ?? 0,
    output ?? 0,
    count(usage.total_tokens),
    // DeepSeek: prompt_cache_hit_tokens beside the counts.
    detail(usage, 'prompt_tokens_details', 'cached_tokens') ??
      count(usage.prompt_cache_hit_tokens) ??
      count(usage.cached_tokens),
    detail(usage, 'completion_tokens_details', 'reasoning_tokens') ?? count(usage.reasoning_tokens),
    predictionCounts(usage, 'completion_tokens_details'),
    detail(usage, 'prompt_tokens_details', 'cache_write_tokens'),
  )
}

/** A Responses `usage` object with every field that OpenAI's clients read. */
export function usageFromResponses(usage: unknown): ResponseUsage | undefined {
  if (!isObject(usage)) return undefined
  const input = count(usage.input_tokens)
  const output = count(usage.output_tokens)
  if (input === undefined && output === undefined) return undefined
  return responseUsage(
    input ?? 0,
    output ?? 0,
    count(usage.total_tokens),
    detail(usage, 'input_tokens_details', 'cached_tokens'),
    detail(usage, 'output_tokens_details', 'reasoning_tokens'),
    predictionCounts(usage, 'output_tokens_details'),
    detail(usage, 'input_tokens_details', 'cache_write_tokens'),
  )
}

function responseUsage(
  input: number,
  output: number,
  total = input + output,
  cached = 0,
  reasoning = 0,
  predicted: PredictionCounts = {},
  cacheWrites = 0,
): ResponseUsage {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: cacheWrites },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning, ...predicted },
    total_tokens: total,
  }
}

/** Responses usage in the words of Chat. */
export function usageToChat(usage: ResponseUsage): ChatUsage {
  const { cached_tokens, cache_write_tokens: writes = 0 } = usage.input_tokens_details
  return {
    prompt_tokens: usage.input_tokens,
    completion_tokens: usage.output_tokens,
    total_tokens: usage.total_tokens,
    prompt_tokens_details: {
      cached_tokens,
      ...(writes === 0 ? {} : { cache_write_tokens: writes }),
    },
    completion_tokens_details: { ...usage.output_tokens_details },
  }
}

/** Usage of two servers that made one answer together. */
export function sumUsage(before: ResponseUsage | undefined, usage: ResponseUsage): ResponseUsage {
  if (before === undefined) return usage
  return responseUsage(
    before.input_tokens + usage.input_tokens,
    before.output_tokens + usage.output_tokens,
    before.total_tokens + usage.total_tokens,
    before.input_tokens_details.cached_tokens + usage.input_tokens_details.cached_tokens,
    before.output_tokens_details.reasoning_tokens + usage.output_tokens_details.reasoning_tokens,
    sumPredictionCounts(before.output_tokens_details, usage.output_tokens_details),
    cacheWritesOf(before) + cacheWritesOf(usage),
  )
}

/** Tokens of the input that were written to a cache: some places bill them by themselves. */
export function cacheWritesOf(usage: ResponseUsage | undefined): number {
  return usage?.input_tokens_details.cache_write_tokens ?? 0
}

function sumPredictionCounts(before: PredictionCounts, after: PredictionCounts): PredictionCounts {
  const sum: PredictionCounts = {}
  for (const name of ['accepted_prediction_tokens', 'rejected_prediction_tokens'] as const) {
    const counts = [before[name], after[name]].filter((each) => each !== undefined)
    if (counts.length > 0) sum[name] = counts.reduce((total, each) => total + each)
  }
  return sum
}
