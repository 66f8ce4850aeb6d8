// JSON payloads of the tunnel's control frames (docs/tunnel.md). Unknown keys are kept: a newer peer
// may say more than we know, and what it says must reach whoever lists nodes.
import { z } from 'zod'

/** The protocol version that this code speaks. */
export const protocolVersion = 1

/** Versions that this code serves, best first: the current one and, once there is one, its predecessor. */
export const supportedVersions: readonly number[] = [protocolVersion]

/** Names of nodes and model ids end up in headers, logs and model references. */
const nodeName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, ".", "_", "-"; at most 64')
const modelId = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9][\w.:/@+-]*$/, 'letters, digits and . _ : / @ + -')

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const number = z.number().min(0)

export const nodeModelSchema = z.looseObject({
  id: modelId,
  /** Dialects of HTTP that the node answers for this model, best first: "responses", "chat". */
  dialects: z.array(z.string().max(32)).min(1).max(8),
  context_length: count.optional(),
  input_modalities: z.array(z.string().max(32)).max(16).optional(),
  supports_tools: z.boolean().optional(),
  supports_structured_outputs: z.boolean().optional(),
  /** It holds its answers to JSON schemas and strict functions itself: a miss is reported as a failure. */
  checks_output: z.boolean().optional(),
})

/** What a node says of itself. */
export const nodeIdentitySchema = z.looseObject({
  node: nodeName,
  models: z.array(nodeModelSchema).max(256),
  /** Requests that the node runs at once. */
  slots: z.number().int().min(1).max(65_536),
  /** Hosted tools that run there. Names that nobody knows yet are kept and never asked for. */
  tools: z.array(z.string().max(64)).max(64).optional(),
  pid: count.optional(),
  /** Software and version, for people. */
  agent: z.string().max(256).optional(),
  /** Bytes of one request body that the node takes before it grants credit. */
  window: z.number().int().min(16_384).max(16_777_216).optional(),
})

export const helloSchema = nodeIdentitySchema.extend({
  /** Protocol versions that the node speaks. */
  versions: z.array(count).min(1).max(16),
})

export const welcomeSchema = z.looseObject({
  version: count,
  limits: z.looseObject({
    /** Largest frame, header included. */
    frame_bytes: z.number().int().min(1024),
    /** Bytes of one response body that the hub takes before it grants credit. */
    window: z.number().int().min(16_384),
  }),
})

export const statusSchema = z.looseObject({
  running: count,
  waiting: count,
  /** Absent: as in HELLO. */
  slots: z.number().int().min(0).max(65_536).optional(),
  /** Waiting requests from which on the node refuses more. */
  queue_limit: count.optional(),
  kv_used: number.optional(),
  kv_total: number.optional(),
  tokens_per_second: number.optional(),
})

/** Headers of one request or response. */
export const maxHeaders = 128
const headerList = z.array(z.tuple([z.string(), z.string()])).max(maxHeaders)

export const requestSchema = z.looseObject({
  method: z.string().regex(/^[A-Z]{3,10}$/),
  /** Origin form: path and query. */
  path: z.string().startsWith('/').max(4096),
  headers: headerList,
  /** True: REQUEST_DATA frames follow. */
  body: z.boolean(),
})

export const headSchema = z.looseObject({
  status: z.number().int().min(200).max(599),
  headers: headerList,
})

/** Why a stream, or with stream 0 the whole connection, has failed. */
export const errorSchema = z.looseObject({
  code: z.string().max(64),
  message: z.string().max(4096),
})

/** Body of a node's answer that is no 2xx: OpenAI's shape, as far as it keeps to it. */
export const nodeErrorSchema = z.looseObject({
  error: z.looseObject({
    message: z.string().catch('The node gave no reason.'),
    param: z.string().nullish().catch(null),
    code: z.string().nullish().catch(null),
  }),
})

export type NodeModel = z.infer<typeof nodeModelSchema>
export type NodeIdentity = z.infer<typeof nodeIdentitySchema>
export type Hello = z.infer<typeof helloSchema>
export type Welcome = z.infer<typeof welcomeSchema>
export type Status = z.infer<typeof statusSchema>
export type RequestHead = z.infer<typeof requestSchema>
export type ResponseHead = z.infer<typeof headSchema>
export type TunnelError = z.infer<typeof errorSchema>
