// The config document as its author writes it. Every object is closed: a misspelt key is an error, never ignored.
import { z } from 'zod'
import { type EngineName, engines } from '../providers/engines.ts'
import { reservedSuffixes } from '../routing/names.ts'
import { originsSchema } from './origins.ts'
import { toolsSchema } from './tools-schema.ts'

const engineNames = Object.keys(engines) as [EngineName, ...EngineName[]]
const milliseconds = z.number().int().min(1).max(3_600_000)
const price = z.strictObject({ input: z.number().min(0), output: z.number().min(0) })
const modelId = z.string().min(1).max(256)
const capabilities = z.strictObject({
  inputModalities: z.array(z.enum(['text', 'image', 'file', 'audio', 'video'])).optional(),
  tools: z.boolean().optional(),
  structuredOutput: z.union([z.boolean(), z.literal('guaranteed')]).optional(),
  strictArguments: z.boolean().optional(),
  jsonObject: z.boolean().optional(),
  inlineReasoning: z.boolean().optional(),
  assistantPrefix: z.boolean().optional(),
  contextLength: z.number().int().min(1).optional(),
  firstTokenMs: milliseconds.optional(),
  tokensPerSecond: z.number().positive().optional(),
})

/** Headers that carry credentials or framing; keys come from the environment only. */
const reservedHeaders =
  /^(authorization|proxy-authorization|cookie|x-api-key|api-key|host|connection|content-length|content-type|transfer-encoding|accept-encoding|te|trailer|upgrade|expect)$/i

const headers = z.record(
  z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'must be a header name')
    .refine(
      (name) => !reservedHeaders.test(name),
      'must not be set here (keys come from the environment)',
    ),
  z.string().regex(/^[\t\x20-\x7e]*$/, 'must be printable ASCII'),
)

const hosts = z
  .array(
    z
      .string()
      .regex(
        /^(?:(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/,
        'must be a host, host:port or *.domain in lower case',
      ),
  )
  .max(1000)

const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')

export const providerSchema = z.strictObject({
  kind: z.enum(engineNames).optional(),
  baseUrl: z.string().optional(),
  apiKeyEnv: variable
    // Otherwise a config could send the gateway's own secrets to an upstream.
    .refine((name) => !name.startsWith('SWITCHYARD_'), "must not be one of the gateway's own")
    .optional(),
  dialects: z
    .array(z.enum(['chat', 'responses']))
    .min(1)
    .refine((list) => new Set(list).size === list.length, 'must not repeat a dialect')
    .optional(),
  models: z
    .union(
      [z.literal('*'), z.record(modelId, modelId)],
      'must be "*" or { "<public id>": "<id there>" }, ids of 1 to 256 characters',
    )
    .optional(),
  headers: headers.optional(),
  raw: z.boolean().optional(),
  streamWhole: z.boolean().optional(),
  timeouts: z
    .strictObject({
      headersMs: milliseconds.optional(),
      firstTokenMs: milliseconds.optional(),
      idleMs: milliseconds.optional(),
      totalMs: milliseconds.optional(),
      retryAfterMs: z.number().int().min(0).max(60_000).optional(),
    })
    .optional(),
  pricing: z.record(modelId, price).optional(),
  capabilities: z.record(modelId, capabilities).optional(),
  enabled: z.boolean().optional(),
})

export const documentSchema = z.strictObject({
  providers: z
    .record(
      z
        .string()
        .regex(
          /^[a-z0-9][a-z0-9._-]{0,62}$/,
          'must be lower case letters, digits, ".", "_" or "-"',
        ),
      providerSchema,
    )
    .optional(),
  routes: z
    .record(
      modelId,
      z
        .array(
          z
            .string()
            .min(1)
            .refine((name) => name === 'self' || !reservedSuffixes.has(name), {
              message: 'must be a provider, a node or self',
            }),
        )
        .min(1)
        .refine((names) => new Set(names).size === names.length, 'must not repeat a name'),
    )
    .optional(),
  policy: z.enum(['preferred', 'fastest', 'cheapest']).optional(),
  rescue: z.enum(['continue', 'fail']).optional(),
  hedge: z.strictObject({ afterMs: milliseconds }).optional(),
  passThrough: z.strictObject({ hf: z.boolean().optional() }).optional(),
  byok: z.boolean().optional(),
  modelMapping: z
    .union(
      [z.enum(['hf', 'off']), z.strictObject({ hubUrl: z.string() })],
      'must be "hf", "off" or { "hubUrl": "…" }',
    )
    .optional(),
  nodes: z.strictObject({ tokenEnv: variable.optional() }).optional(),
  egress: z
    .strictObject({
      allowHosts: hosts.optional(),
      mcpHosts: hosts.optional(),
    })
    .optional(),
  cors: z.strictObject({ origins: originsSchema.optional() }).optional(),
  limits: z
    .strictObject({
      bodyBytes: z.number().int().min(1024).max(104_857_600).optional(),
      upstreamBytes: z.number().int().min(1024).max(1_073_741_824).optional(),
      storeDays: z.number().int().min(1).max(3650).optional(),
    })
    .optional(),
  reasoningEvents: z.enum(['reasoning_text', 'reasoning', 'summary']).optional(),
  requestLog: z.boolean().optional(),
  metrics: z.strictObject({ tokenEnv: variable.optional() }).optional(),
  tools: toolsSchema.optional(),
})

export type ProviderDocument = z.infer<typeof providerSchema>
export type ConfigDocument = z.infer<typeof documentSchema>
