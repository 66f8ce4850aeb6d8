// Every event of a Responses stream that Switchyard itself writes. Upstreams may send more; those pass by unread.
import { z } from 'zod'
import {
  contentPartSchema,
  logprobSchema,
  outputItemSchema,
  responseObjectSchema,
  summaryPartSchema,
} from './responses.ts'

const sequence = { sequence_number: z.int() }
const onItem = { ...sequence, item_id: z.string(), output_index: z.int() }
const onPart = { ...onItem, content_index: z.int() }
const onSummary = { ...onItem, summary_index: z.int() }

function snapshot<T extends string>(type: T) {
  return z.object({ type: z.literal(type), ...sequence, response: responseObjectSchema })
}
function item<T extends string>(type: T) {
  return z.object({
    type: z.literal(type),
    ...sequence,
    output_index: z.int(),
    item: outputItemSchema,
  })
}
function part<T extends string>(type: T) {
  return z.object({ type: z.literal(type), ...onPart, part: contentPartSchema })
}
function delta<T extends string>(type: T) {
  return z.object({ type: z.literal(type), ...onPart, delta: z.string() })
}
function text<T extends string>(type: T) {
  return z.object({ type: z.literal(type), ...onPart, text: z.string() })
}

const logprobs = { logprobs: z.array(logprobSchema) }

export const responsesEventSchema = z.discriminatedUnion('type', [
  snapshot('response.created'),
  snapshot('response.queued'),
  snapshot('response.in_progress'),
  snapshot('response.completed'),
  snapshot('response.incomplete'),
  snapshot('response.failed'),
  item('response.output_item.added'),
  item('response.output_item.done'),
  part('response.content_part.added'),
  part('response.content_part.done'),
  delta('response.output_text.delta').extend(logprobs),
  text('response.output_text.done').extend(logprobs),
  delta('response.refusal.delta'),
  z.object({ type: z.literal('response.refusal.done'), ...onPart, refusal: z.string() }),
  delta('response.reasoning_text.delta'),
  text('response.reasoning_text.done'),
  delta('response.reasoning.delta'),
  text('response.reasoning.done'),
  z.object({
    type: z.literal('response.reasoning_summary_part.added'),
    ...onSummary,
    part: summaryPartSchema,
  }),
  z.object({
    type: z.literal('response.reasoning_summary_part.done'),
    ...onSummary,
    part: summaryPartSchema,
  }),
  z.object({
    type: z.literal('response.reasoning_summary_text.delta'),
    ...onSummary,
    delta: z.string(),
  }),
  z.object({
    type: z.literal('response.reasoning_summary_text.done'),
    ...onSummary,
    text: z.string(),
  }),
  z.object({
    type: z.literal('response.function_call_arguments.delta'),
    ...onItem,
    delta: z.string(),
  }),
  z.object({
    type: z.literal('response.function_call_arguments.done'),
    ...onItem,
    name: z.string(),
    arguments: z.string(),
  }),
  z.object({
    type: z.literal('response.custom_tool_call_input.delta'),
    ...onItem,
    delta: z.string(),
  }),
  z.object({
    type: z.literal('response.custom_tool_call_input.done'),
    ...onItem,
    input: z.string(),
  }),
  // OpenAI's clients read the flat fields, Open Responses' the nested object: one event carries both.
  z.object({
    type: z.literal('error'),
    ...sequence,
    code: z.string().nullable(),
    message: z.string(),
    param: z.string().nullable(),
    error: z.object({
      type: z.string(),
      code: z.string().nullable(),
      message: z.string(),
      param: z.string().nullable(),
    }),
  }),
])

export type ResponsesEvent = z.infer<typeof responsesEventSchema>

export const terminalEventTypes: ReadonlySet<string> = new Set([
  'response.completed',
  'response.incomplete',
  'response.failed',
])
