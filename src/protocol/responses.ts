// The Responses API: request, items and response object. This is the one canonical form inside Switchyard.
// https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org (2026-04-24)
//
// A canonical request may carry more than the Responses API defines: what a Chat client can ask for and the API has
// no word for stays under its Chat name (`stop`, `seed`, `n`, `logit_bias`, `top_k`, `min_p`, …), and so does every
// field that is not known here. A schema checks the fields that we read and leaves the rest alone.
import { z } from 'zod'
import {
  agentItemSchemas,
  agentToolSchemas,
  type OutputAgentCall,
  outputAgentCalls,
} from './call-items.ts'
import { check, chosen, dispatch, isObject, list, mapOf, stringOr } from './check.ts'
import { refuseChatFields } from './moved-fields.ts'

const nullable = <T extends z.ZodType>(schema: T) => schema.nullish()

/** Names of functions as providers take them; harmony and OpenAI both refuse anything else. */
const toolName = z.string().min(1).max(256)

// ---- content parts

const inputText = z.looseObject({ type: z.literal('input_text'), text: z.string() })
const inputImage = z.looseObject({
  type: z.literal('input_image'),
  image_url: nullable(z.string()),
  file_id: nullable(z.string()),
  detail: nullable(z.string()),
})
const inputFile = z.looseObject({
  type: z.literal('input_file'),
  filename: nullable(z.string()),
  file_data: nullable(z.string()),
  file_url: nullable(z.string()),
  file_id: nullable(z.string()),
})
const inputAudio = z.looseObject({
  type: z.literal('input_audio'),
  input_audio: z.looseObject({ data: z.string(), format: z.string() }),
})
/** Of Open Responses. */
const inputVideo = z.looseObject({ type: z.literal('input_video'), video_url: z.string() })
const outputTextIn = z.looseObject({ type: z.literal('output_text'), text: z.string() })
const plainText = z.looseObject({ type: z.literal('text'), text: z.string() })
const refusalPart = z.looseObject({ type: z.literal('refusal'), refusal: z.string() })

/** A part of an input message. At run time other types occur too and are kept as they are. */
export type InputPart =
  | z.infer<typeof inputText>
  | z.infer<typeof inputImage>
  | z.infer<typeof inputFile>
  | z.infer<typeof inputAudio>
  | z.infer<typeof inputVideo>
  | z.infer<typeof outputTextIn>
  | z.infer<typeof plainText>
  | z.infer<typeof refusalPart>

const partSchemas: Record<string, z.ZodType> = {
  input_text: inputText,
  input_image: inputImage,
  input_file: inputFile,
  input_audio: inputAudio,
  input_video: inputVideo,
  output_text: outputTextIn,
  text: plainText,
  refusal: refusalPart,
}

const untyped = z.looseObject({ type: z.string() })

function byType(schemas: Record<string, z.ZodType>) {
  return (value: object) => {
    const type: unknown = Reflect.get(value, 'type')
    if (typeof type !== 'string') return untyped
    return Object.hasOwn(schemas, type) ? schemas[type] : undefined
  }
}

const inputPart = dispatch<InputPart>(byType(partSchemas), 'a content part')
const content = stringOr(list(inputPart))

// ---- input items

const messageItem = z.looseObject({
  type: z.literal('message').optional(),
  id: nullable(z.string()),
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content,
  status: nullable(z.string()),
  phase: nullable(z.string()),
})
const functionCallItem = z.looseObject({
  type: z.literal('function_call'),
  id: nullable(z.string()),
  call_id: z.string().min(1),
  name: toolName,
  arguments: z.string(),
  status: nullable(z.string()),
})
const functionCallOutputItem = z.looseObject({
  type: z.literal('function_call_output'),
  id: nullable(z.string()),
  call_id: z.string().min(1),
  output: content,
  status: nullable(z.string()),
})
const reasoningText = z.looseObject({ type: z.string(), text: z.string() })
const reasoningItem = z.looseObject({
  type: z.literal('reasoning'),
  id: nullable(z.string()),
  summary: nullable(list(reasoningText)),
  content: nullable(list(reasoningText)),
  encrypted_content: nullable(z.string()),
})
const itemReference = z.looseObject({ type: z.literal('item_reference'), id: z.string() })

export type MessageItem = z.infer<typeof messageItem>
export type FunctionCallItem = z.infer<typeof functionCallItem>
export type FunctionCallOutputItem = z.infer<typeof functionCallOutputItem>
export type ReasoningItem = z.infer<typeof reasoningItem>
export type ItemReference = z.infer<typeof itemReference>

/** An item of `input`. At run time other types occur too (custom tools, hosted tools) and are kept as they are. */
export type InputItem =
  | MessageItem
  | FunctionCallItem
  | FunctionCallOutputItem
  | ReasoningItem
  | ItemReference

const itemSchemas: Record<string, z.ZodType> = {
  message: messageItem,
  function_call: functionCallItem,
  function_call_output: functionCallOutputItem,
  reasoning: reasoningItem,
  item_reference: itemReference,
  ...agentItemSchemas(content, () => tool),
}

const inputItem = dispatch<InputItem>((value) => {
  // OpenAI takes a message without `type`, and an item_reference with a null one.
  if (Reflect.get(value, 'type') === undefined && 'role' in value) return messageItem
  if (Reflect.get(value, 'type') == null && 'id' in value) return z.looseObject({ id: z.string() })
  return byType(itemSchemas)(value)
}, 'an item')

/** True for what a client may send as an item of `input`. */
export function isInputItem(value: unknown): boolean {
  return inputItem.safeParse(value).success
}

// ---- tools and formats

const functionTool = z.looseObject({
  type: z.literal('function'),
  name: toolName,
  description: nullable(z.string()),
  parameters: nullable(z.record(z.string(), z.unknown())),
  strict: nullable(z.boolean()),
})
export type FunctionTool = z.infer<typeof functionTool>
/** At run time other tool types occur too (`custom`, `namespace`, `web_search`, …) and are kept as they are. */
export type Tool = FunctionTool
const tool: z.ZodType<Tool> = dispatch<Tool>(
  byType({ function: functionTool, ...agentToolSchemas(functionTool) }),
  'a tool',
)

const choiceMode = z.enum(['none', 'auto', 'required'])
const namedChoice = z.looseObject({ type: z.literal('function'), name: toolName })
const allowedTools = z.looseObject({
  type: z.literal('allowed_tools'),
  mode: choiceMode.optional(),
  tools: list(z.looseObject({ type: z.string(), name: z.string().optional() }), { max: 128 }),
})
export type ToolChoice =
  | z.infer<typeof choiceMode>
  | z.infer<typeof namedChoice>
  | z.infer<typeof allowedTools>
const choiceObject = dispatch<ToolChoice>(
  byType({ function: namedChoice, allowed_tools: allowedTools }),
  'a tool choice',
)
const toolChoice = chosen<ToolChoice>((value) => (isObject(value) ? choiceObject : choiceMode))

const jsonSchemaFormat = z.looseObject({
  type: z.literal('json_schema'),
  name: z.string().min(1).max(64),
  schema: z.record(z.string(), z.unknown()),
  description: nullable(z.string()),
  strict: nullable(z.boolean()),
})
const textFormats = {
  text: z.looseObject({ type: z.literal('text') }),
  json_object: z.looseObject({ type: z.literal('json_object') }),
  json_schema: jsonSchemaFormat,
}
export type TextFormat =
  | z.infer<typeof textFormats.text>
  | z.infer<typeof textFormats.json_object>
  | z.infer<typeof jsonSchemaFormat>

/** `metadata`: at most 16 strings. */
export const metadataSchema = mapOf(z.string().max(512), { maxKeys: 16, maxKeyLength: 64 })

export const reasoningEfforts = [
  'none',
  'minimal',
  'low',
  'medium',
  'high',
  'xhigh',
  'max',
] as const
export type ReasoningEffort = (typeof reasoningEfforts)[number]

export const streamOptionsSchema = z.looseObject({
  include_usage: nullable(z.boolean()),
  include_obfuscation: nullable(z.boolean()),
})

/** How much the model says. */
export const verbositySchema = z.enum(['low', 'medium', 'high'])

/** Of the client's own user, not of the caller. */
export const safetyIdentifierSchema = z.string().max(64)

/** `prediction`: what the answer will say, perhaps. */
export const predictionSchema = z.looseObject({
  type: z.literal('content'),
  content: stringOr(list(z.looseObject({ type: z.literal('text'), text: z.string() }))),
})

/** `stop`: one string or up to four. */
export const stopSchema = stringOr(list(z.string(), { max: 4 }))

// ---- request

export const responsesRequestSchema = z.looseObject({
  model: z.string().min(1),
  input: stringOr(list(inputItem)),
  instructions: nullable(z.string()),
  tools: nullable(list(tool, { max: 128 })),
  tool_choice: nullable(toolChoice),
  parallel_tool_calls: nullable(z.boolean()),
  max_tool_calls: nullable(z.int().min(1)),
  text: nullable(
    z.looseObject({
      format: nullable(dispatch<TextFormat>(byType(textFormats), 'a text format')),
      verbosity: nullable(verbositySchema),
    }),
  ),
  reasoning: nullable(
    z.looseObject({
      effort: nullable(z.enum(reasoningEfforts)),
      summary: nullable(z.enum(['auto', 'concise', 'detailed'])),
    }),
  ),
  temperature: nullable(z.number().min(0).max(2)),
  top_p: nullable(z.number().min(0).max(1)),
  presence_penalty: nullable(z.number().min(-2).max(2)),
  frequency_penalty: nullable(z.number().min(-2).max(2)),
  top_logprobs: nullable(z.int().min(0).max(20)),
  max_output_tokens: nullable(z.int().min(1)),
  include: nullable(list(z.string())),
  metadata: nullable(metadataSchema),
  stream: nullable(z.boolean()),
  stream_options: nullable(streamOptionsSchema),
  store: nullable(z.boolean()),
  background: nullable(z.boolean()),
  previous_response_id: nullable(z.string()),
  truncation: nullable(z.enum(['auto', 'disabled'])),
  service_tier: nullable(z.string()),
  safety_identifier: nullable(safetyIdentifierSchema),
  prompt_cache_key: nullable(z.string()),
  user: nullable(z.string()),
  // Chat parameters that the Responses API has no word for.
  stop: nullable(stopSchema),
  seed: nullable(z.int()),
  n: nullable(z.int().min(1).max(128)),
  logit_bias: nullable(mapOf(z.number().min(-100).max(100))),
  top_k: nullable(z.int()),
  min_p: nullable(z.number().min(0).max(1)),
  prediction: nullable(predictionSchema),
})

/** A Responses request: the canonical request of every face. */
export type ResponsesRequest = z.infer<typeof responsesRequestSchema>

/** Checks a parsed body; throws ApiError with the path of the first bad field. */
export function parseResponsesRequest(body: unknown): ResponsesRequest {
  refuseChatFields(body)
  return check(responsesRequestSchema, body)
}

// ---- response: exact, this is what we send

const topLogprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()),
})
const logprob = topLogprob.extend({ top_logprobs: z.array(topLogprob) })
export type Logprob = z.infer<typeof logprob>

const itemStatus = z.enum(['in_progress', 'completed', 'incomplete'])
export type ItemStatus = z.infer<typeof itemStatus>

const outputText = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.record(z.string(), z.unknown())),
  logprobs: z.array(logprob),
})
const outputRefusal = z.object({ type: z.literal('refusal'), refusal: z.string() })
const reasoningTextPart = z.object({ type: z.literal('reasoning_text'), text: z.string() })
const summaryTextPart = z.object({ type: z.literal('summary_text'), text: z.string() })

export const contentPartSchema = z.discriminatedUnion('type', [
  outputText,
  outputRefusal,
  reasoningTextPart,
])
export const summaryPartSchema = summaryTextPart
export type OutputText = z.infer<typeof outputText>
export type OutputRefusal = z.infer<typeof outputRefusal>
export type ContentPart = z.infer<typeof contentPartSchema>
export type SummaryPart = z.infer<typeof summaryTextPart>
export const logprobSchema = logprob

const outputMessage = z.object({
  id: z.string(),
  type: z.literal('message'),
  status: itemStatus,
  role: z.literal('assistant'),
  content: z.array(z.discriminatedUnion('type', [outputText, outputRefusal])),
  phase: z.enum(['commentary', 'final_answer']).optional(),
})
const outputFunctionCall = z.object({
  id: z.string(),
  type: z.literal('function_call'),
  status: itemStatus,
  call_id: z.string(),
  name: z.string(),
  namespace: z.string().optional(),
  arguments: z.string(),
})
const outputReasoning = z.object({
  id: z.string(),
  type: z.literal('reasoning'),
  status: itemStatus,
  summary: z.array(summaryTextPart),
  content: z.array(reasoningTextPart).optional(),
  encrypted_content: z.string().optional(),
})
export const outputItemSchema = z.discriminatedUnion('type', [
  outputMessage,
  outputFunctionCall,
  outputReasoning,
  ...outputAgentCalls,
])
export type OutputMessage = z.infer<typeof outputMessage>
export type OutputFunctionCall = z.infer<typeof outputFunctionCall>
export type OutputReasoning = z.infer<typeof outputReasoning>
export type OutputItem = z.infer<typeof outputItemSchema>
/** A call of a tool that runs at the client. */
export type OutputCall = OutputFunctionCall | OutputAgentCall

export const responseUsageSchema = z.object({
  input_tokens: z.int(),
  input_tokens_details: z.object({
    cached_tokens: z.int(),
    // Always told by us; older servers do not know it.
    cache_write_tokens: z.int().optional(),
  }),
  output_tokens: z.int(),
  output_tokens_details: z.object({
    reasoning_tokens: z.int(),
    // Chat's, of requests with a `prediction`.
    accepted_prediction_tokens: z.int().optional(),
    rejected_prediction_tokens: z.int().optional(),
  }),
  total_tokens: z.int(),
})
export type ResponseUsage = z.infer<typeof responseUsageSchema>

/** The response object: all 31 keys that Open Responses requires, in every snapshot. */
export const responseObjectSchema = z.object({
  id: z.string(),
  object: z.literal('response'),
  created_at: z.int(),
  completed_at: z.int().nullable(),
  status: z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
  incomplete_details: z.object({ reason: z.string() }).nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  model: z.string(),
  previous_response_id: z.string().nullable(),
  instructions: z.string().nullable(),
  output: z.array(outputItemSchema),
  tools: z.array(z.record(z.string(), z.unknown())),
  tool_choice: z.union([choiceMode, z.record(z.string(), z.unknown())]),
  parallel_tool_calls: z.boolean(),
  text: z.object({
    format: z.record(z.string(), z.unknown()),
    verbosity: z.string().optional(),
  }),
  reasoning: z.object({ effort: z.string().nullable(), summary: z.string().nullable() }).nullable(),
  truncation: z.string(),
  temperature: z.number(),
  top_p: z.number(),
  presence_penalty: z.number(),
  frequency_penalty: z.number(),
  top_logprobs: z.int(),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.int().nullable(),
  store: z.boolean(),
  background: z.boolean(),
  service_tier: z.string(),
  metadata: z.record(z.string(), z.string()),
  safety_identifier: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
  usage: responseUsageSchema.nullable(),
  /** Ours: the string of `stop` that ended the answer, where one did and the place says which. */
  stop_sequence: z.string().optional(),
})
export type ResponseObject = z.infer<typeof responseObjectSchema>
