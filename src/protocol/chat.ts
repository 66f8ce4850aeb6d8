// The Chat Completions API: request, response and chunk. https://platform.openai.com/docs/api-reference/chat
// Requests are checked (OpenAI's limits, every role, string or parts); responses and chunks come from many servers and
// are read field by field where they are used, so their schemas only fix the shapes that we write ourselves.
import { z } from 'zod'
import { check, chosen, dispatch, isObject, list, mapOf, stringOr } from './check.ts'
import { refuseResponsesFields } from './moved-fields.ts'
import {
  metadataSchema,
  predictionSchema,
  reasoningEfforts,
  safetyIdentifierSchema,
  stopSchema,
  streamOptionsSchema,
  verbositySchema,
} from './responses.ts'

const nullable = <T extends z.ZodType>(schema: T) => schema.nullish()

const textPart = z.looseObject({ type: z.literal('text'), text: z.string() })
const refusalPart = z.looseObject({ type: z.literal('refusal'), refusal: z.string() })
const imagePart = z.looseObject({
  type: z.literal('image_url'),
  image_url: z.looseObject({ url: z.string(), detail: nullable(z.string()) }),
})
const audioPart = z.looseObject({
  type: z.literal('input_audio'),
  input_audio: z.looseObject({ data: z.string(), format: z.string() }),
})
/** No part of OpenAI's: what vLLM, SGLang and routers take. */
const videoPart = z.looseObject({
  type: z.literal('video_url'),
  video_url: z.looseObject({ url: z.string() }),
})
const filePart = z.looseObject({
  type: z.literal('file'),
  file: z.looseObject({
    file_data: nullable(z.string()),
    file_id: nullable(z.string()),
    filename: nullable(z.string()),
  }),
})

/** A part of a message. At run time other types occur too and are kept as they are. */
export type ChatPart =
  | z.infer<typeof textPart>
  | z.infer<typeof refusalPart>
  | z.infer<typeof imagePart>
  | z.infer<typeof audioPart>
  | z.infer<typeof videoPart>
  | z.infer<typeof filePart>

const partSchemas: Record<string, z.ZodType> = {
  text: textPart,
  refusal: refusalPart,
  image_url: imagePart,
  input_audio: audioPart,
  video_url: videoPart,
  file: filePart,
}

function byKey(key: string, schemas: Record<string, z.ZodType>, fallback?: z.ZodType) {
  return (value: object) => {
    const kind: unknown = Reflect.get(value, key)
    if (typeof kind !== 'string') return z.looseObject({ [key]: z.string() })
    return Object.hasOwn(schemas, kind) ? schemas[kind] : fallback
  }
}

const part = dispatch<ChatPart>(byKey('type', partSchemas), 'a content part')
const content = stringOr(list(part))

const functionCall = z.looseObject({ name: z.string().min(1), arguments: z.string() })
const toolCall = dispatch<ChatToolCall>(
  byKey('type', {
    function: z.looseObject({
      id: z.string().min(1),
      type: z.literal('function'),
      function: functionCall,
    }),
    custom: z.looseObject({
      id: z.string().min(1),
      type: z.literal('custom'),
      custom: z.looseObject({ name: z.string().min(1), input: z.string() }),
    }),
  }),
  'a tool call',
)
/** A call in a complete message. At run time `custom` calls occur too and are kept as they are. */
export type ChatToolCall = {
  id: string
  type: 'function'
  function: { name: string; arguments: string; [key: string]: unknown }
  [key: string]: unknown
}

const instructionMessage = z.looseObject({
  role: z.enum(['system', 'developer']),
  content,
  name: nullable(z.string()),
})
const userMessage = z.looseObject({
  role: z.literal('user'),
  content,
  name: nullable(z.string()),
})
const assistantMessage = z.looseObject({
  role: z.literal('assistant'),
  content: nullable(content),
  refusal: nullable(z.string()),
  tool_calls: nullable(list(toolCall)),
  reasoning: nullable(z.string()),
  reasoning_content: nullable(z.string()),
  name: nullable(z.string()),
})
const toolMessage = z.looseObject({
  role: z.literal('tool'),
  content,
  tool_call_id: z.string().min(1),
})

export type ChatInstructionMessage = z.infer<typeof instructionMessage>
export type ChatUserMessage = z.infer<typeof userMessage>
export type ChatAssistantMessage = z.infer<typeof assistantMessage>
export type ChatToolMessage = z.infer<typeof toolMessage>
export type ChatMessage =
  | ChatInstructionMessage
  | ChatUserMessage
  | ChatAssistantMessage
  | ChatToolMessage

const message = dispatch<ChatMessage>(
  byKey(
    'role',
    {
      system: instructionMessage,
      developer: instructionMessage,
      user: userMessage,
      assistant: assistantMessage,
      tool: toolMessage,
    },
    z.looseObject({ role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']) }),
  ),
  'a message',
)

const functionTool = z.looseObject({
  type: z.literal('function'),
  function: z.looseObject({
    name: z.string().min(1).max(256),
    description: nullable(z.string()),
    parameters: nullable(z.record(z.string(), z.unknown())),
    strict: nullable(z.boolean()),
  }),
})
/** At run time other tool types occur too (`custom`, …) and are kept as they are. */
export type ChatTool = z.infer<typeof functionTool>
const customTool = z.looseObject({
  type: z.literal('custom'),
  custom: z.looseObject({
    name: z.string().min(1).max(256),
    description: nullable(z.string()),
    format: nullable(
      z.looseObject({
        type: z.enum(['text', 'grammar']),
        grammar: nullable(z.looseObject({ syntax: z.string(), definition: z.string() })),
      }),
    ),
  }),
})
const tool = dispatch<ChatTool>(
  byKey('type', { function: functionTool, custom: customTool }),
  'a tool',
)

const choiceMode = z.enum(['none', 'auto', 'required'])
const choiceObjects = {
  function: z.looseObject({
    type: z.literal('function'),
    function: z.looseObject({ name: z.string().min(1) }),
  }),
  allowed_tools: z.looseObject({
    type: z.literal('allowed_tools'),
    allowed_tools: z.looseObject({
      mode: choiceMode.optional(),
      tools: list(z.record(z.string(), z.unknown()), { max: 128 }),
    }),
  }),
}
export type ChatToolChoice =
  | z.infer<typeof choiceMode>
  | z.infer<typeof choiceObjects.function>
  | z.infer<typeof choiceObjects.allowed_tools>
const choiceObject = dispatch<ChatToolChoice>(byKey('type', choiceObjects), 'a tool choice')
const toolChoice = chosen<ChatToolChoice>((value) => (isObject(value) ? choiceObject : choiceMode))

const responseFormats = {
  text: z.looseObject({ type: z.literal('text') }),
  json_object: z.looseObject({ type: z.literal('json_object') }),
  json_schema: z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({
      name: z.string().min(1).max(64),
      schema: nullable(z.record(z.string(), z.unknown())),
      description: nullable(z.string()),
      strict: nullable(z.boolean()),
    }),
  }),
}
export type ChatResponseFormat =
  | z.infer<typeof responseFormats.text>
  | z.infer<typeof responseFormats.json_object>
  | z.infer<typeof responseFormats.json_schema>

export const chatRequestSchema = z.looseObject({
  model: z.string().min(1),
  messages: list(message, { min: 1 }),
  tools: nullable(list(tool, { max: 128 })),
  tool_choice: nullable(toolChoice),
  parallel_tool_calls: nullable(z.boolean()),
  response_format: nullable(
    dispatch<ChatResponseFormat>(byKey('type', responseFormats), 'a response format'),
  ),
  reasoning_effort: nullable(z.enum(reasoningEfforts)),
  verbosity: nullable(verbositySchema),
  temperature: nullable(z.number().min(0).max(2)),
  top_p: nullable(z.number().min(0).max(1)),
  presence_penalty: nullable(z.number().min(-2).max(2)),
  frequency_penalty: nullable(z.number().min(-2).max(2)),
  logprobs: nullable(z.boolean()),
  top_logprobs: nullable(z.int().min(0).max(20)),
  max_tokens: nullable(z.int().min(1)),
  max_completion_tokens: nullable(z.int().min(1)),
  metadata: nullable(metadataSchema),
  stream: nullable(z.boolean()),
  stream_options: nullable(streamOptionsSchema),
  store: nullable(z.boolean()),
  stop: nullable(stopSchema),
  seed: nullable(z.int()),
  n: nullable(z.int().min(1).max(128)),
  logit_bias: nullable(mapOf(z.number().min(-100).max(100))),
  top_k: nullable(z.int()),
  min_p: nullable(z.number().min(0).max(1)),
  prediction: nullable(predictionSchema),
  service_tier: nullable(z.string()),
  safety_identifier: nullable(safetyIdentifierSchema),
  prompt_cache_key: nullable(z.string()),
  user: nullable(z.string()),
})
export type ChatRequest = z.infer<typeof chatRequestSchema>

/** Checks a parsed body; throws ApiError with the path of the first bad field. */
export function parseChatRequest(body: unknown): ChatRequest {
  refuseResponsesFields(body)
  return check(chatRequestSchema, body)
}

// ---- what we send

const topLogprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).nullable(),
})
const chatLogprobs = z.object({
  content: z.array(topLogprob.extend({ top_logprobs: z.array(topLogprob) })).nullable(),
  refusal: z.array(topLogprob.extend({ top_logprobs: z.array(topLogprob) })).nullable(),
})
export type ChatLogprobs = z.infer<typeof chatLogprobs>

export const chatUsageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({
    cached_tokens: z.int(),
    cache_write_tokens: z.int().optional(),
  }),
  completion_tokens_details: z.object({
    reasoning_tokens: z.int(),
    accepted_prediction_tokens: z.int().optional(),
    rejected_prediction_tokens: z.int().optional(),
  }),
})
export type ChatUsage = z.infer<typeof chatUsageSchema>

const finishReason = z.enum(['stop', 'length', 'tool_calls', 'content_filter'])
export type FinishReason = z.infer<typeof finishReason>

export const chatResponseSchema = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.string().nullable(),
        reasoning: z.string().optional(),
        reasoning_content: z.string().optional(),
        tool_calls: z
          .array(
            z.discriminatedUnion('type', [
              z.object({
                id: z.string(),
                type: z.literal('function'),
                function: z.object({ name: z.string(), arguments: z.string() }),
              }),
              z.object({
                id: z.string(),
                type: z.literal('custom'),
                custom: z.object({ name: z.string(), input: z.string() }),
              }),
            ]),
          )
          .optional(),
      }),
      logprobs: chatLogprobs.nullable(),
      finish_reason: finishReason,
    }),
  ),
  usage: chatUsageSchema.optional(),
  service_tier: z.string().optional(),
})
export type ChatResponse = z.infer<typeof chatResponseSchema>

const chatDelta = z.object({
  role: z.literal('assistant').optional(),
  content: z.string().nullable().optional(),
  refusal: z.string().nullable().optional(),
  reasoning: z.string().optional(),
  reasoning_content: z.string().optional(),
  tool_calls: z
    .array(
      z.object({
        index: z.int(),
        id: z.string().optional(),
        type: z.enum(['function', 'custom']).optional(),
        function: z.object({ name: z.string().optional(), arguments: z.string() }).optional(),
        custom: z.object({ name: z.string().optional(), input: z.string() }).optional(),
      }),
    )
    .optional(),
})
export type ChatDelta = z.infer<typeof chatDelta>

export const chatChunkSchema = z.object({
  id: z.string(),
  object: z.literal('chat.completion.chunk'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: chatDelta,
      logprobs: chatLogprobs.nullable().optional(),
      finish_reason: finishReason.nullable(),
    }),
  ),
  usage: chatUsageSchema.nullable().optional(),
  /** Random characters, where the client asked for them. */
  obfuscation: z.string().optional(),
})
export type ChatChunk = z.infer<typeof chatChunkSchema>
