// A hosted call and its result as they cross the tunnel (docs/tunnel.md, "Tools"): checked at the end that reads them.
import { z } from 'zod'
import { ApiError } from '../errors.ts'
import type { HostedCall, HostedResult, HostedToolName } from './hosted.ts'

/** Where a node answers hosted calls that come through the tunnel. */
export const hostedPath = '/v1/tools/call'

export const hostedToolNames = ['code_interpreter', 'web_search'] as const
/** The actions of each tool. */
export const hostedActions: Readonly<Record<HostedToolName, readonly string[]>> = {
  code_interpreter: ['run'],
  web_search: ['search', 'open', 'find'],
}

/** Begins the text of a call whose session is gone: a model that goes on where it was must know. */
export const lostSessionNote =
  '[The earlier session is over, and what it held is gone. This call ran in a new one.]\n'

/** What a call may bring, and what a result may take away with it. */
export const hostedLimits = {
  /** Text and logs each, in bytes of UTF-8. */
  textBytes: 256 * 1024,
  /** Of a call, or of a result with their bytes. */
  files: 16,
  /** Of a result, with those that are told by their ids alone. */
  fileIds: 128,
  /** All files of a call or of a result together, decoded. */
  fileBytes: 6 * 1024 * 1024,
  sources: 256,
} as const

/** Longer results are no result of ours. Base64 makes four characters of three bytes, JSON six of one. */
export const maxResultBytes = 24 * 1024 * 1024

export function isHostedTool(name: unknown): name is HostedToolName {
  return hostedToolNames.some((known) => known === name)
}

/** True for a path below the session's folder that can do no harm on any system. */
export function isInside(path: string): boolean {
  if (path === '' || path.startsWith('/') || /[\\\0]/.test(path)) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

const filePath = z.string().max(255).refine(isInside, 'must be a relative path without ".."')
const base64 = z
  .string()
  .max(Math.ceil(hostedLimits.fileBytes / 3) * 4 + 4)
  .regex(/^[A-Za-z0-9+/]*={0,2}$/, 'must be base64')
const file = z.object({ path: filePath, data: base64 })
const files = <T extends z.ZodType<{ data?: string }>>(schema: T, most: number) =>
  z
    .array(schema)
    .max(most)
    .refine(
      (list) =>
        list.reduce((sum, { data }) => sum + decodedBytes(data ?? ''), 0) <= hostedLimits.fileBytes,
      `must be ${hostedLimits.fileBytes} bytes together at most`,
    )

/** How many bytes a base64 text stands for. */
export function decodedBytes(data: string): number {
  const padding = data.endsWith('==') ? 2 : data.endsWith('=') ? 1 : 0
  return Math.max(0, Math.floor((data.length * 3) / 4) - padding)
}

const sessionId = z.string().min(1).max(256)
const optional = <T extends z.ZodType>(schema: T) => z.exactOptional(schema)

const settings = z.object({
  allowedDomains: optional(z.array(z.string().max(256)).max(100)),
  userLocation: optional(
    z.object({
      city: optional(z.string().max(256)),
      region: optional(z.string().max(256)),
      country: optional(z.string().max(256)),
      timezone: optional(z.string().max(256)),
    }),
  ),
  contextSize: optional(z.enum(['low', 'medium', 'high'])),
  offline: optional(z.literal(true)),
})

export const hostedCallSchema = z.object({
  tool: z.enum(hostedToolNames),
  action: z.string().max(64),
  arguments: z.record(z.string(), z.unknown()),
  session: sessionId.optional(),
  settings: settings.optional(),
  files: files(file, hostedLimits.files).optional(),
  fileData: z.literal('images').optional(),
})

const outputFile = z.object({
  path: filePath,
  bytes: z.int().min(0),
  mediaType: z.string().max(256),
  id: optional(z.string().max(64)),
  data: optional(base64),
})
const cursor = z.int().min(0)
export const hostedResultSchema = z.object({
  text: z.string(),
  isError: z.boolean(),
  session: sessionId,
  logs: optional(z.string()),
  raised: optional(z.literal(true)),
  files: optional(files(outputFile, hostedLimits.fileIds)),
  sources: optional(
    z
      .array(
        z.object({
          cursor,
          url: z.string().max(8192),
          title: z.string().max(4096),
          lines: optional(z.tuple([z.int(), z.int()])),
        }),
      )
      .max(hostedLimits.sources),
  ),
})

/** A call as the seam has it; throws ApiError with the field at fault. */
export function parseHostedCall(value: unknown): HostedCall {
  const parsed = hostedCallSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const param = issue?.path.join('.') || null
  throw new ApiError('invalid_value', issue?.message ?? 'The call is malformed.', { param })
}

/** Undefined for what is no result. */
export function parseHostedResult(value: unknown): HostedResult | undefined {
  return hostedResultSchema.safeParse(value).data
}
