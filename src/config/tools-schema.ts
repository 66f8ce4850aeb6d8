// The part of the config document that nodes read: which hosted tools run there, and with what.
import { z } from 'zod'

/** Search engines that web_search can ask, with the environment variable that holds the key of each. */
export const searchBackends = {
  searxng: undefined,
  brave: 'BRAVE_API_KEY',
  exa: 'EXA_API_KEY',
  youcom: 'YDC_API_KEY',
} as const
export type SearchBackend = keyof typeof searchBackends
const backendNames = Object.keys(searchBackends) as [SearchBackend, ...SearchBackend[]]

const webSearch = z
  .strictObject({
    backend: z.enum(backendNames),
    url: z
      .string()
      .refine((url) => /^https?:\/\/./.test(url) && URL.canParse(url), 'must be an http(s) URL')
      .optional(),
    keyEnv: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')
      .refine((name) => !name.startsWith('SWITCHYARD_'), "must not be one of the gateway's own")
      .optional(),
  })
  .refine(({ backend, url }) => backend !== 'searxng' || url !== undefined, {
    path: ['url'],
    message: 'is required: SearXNG has no address of its own',
  })

const codeInterpreter = z.strictObject({
  maxSessions: z.number().int().min(1).max(256).optional(),
  memoryMb: z.number().int().min(128).max(16_384).optional(),
})

export const toolsSchema = z.strictObject({
  code_interpreter: z
    .union([z.boolean(), codeInterpreter], 'must be true, false or { maxSessions, memoryMb }')
    .optional(),
  web_search: webSearch.optional(),
  callSeconds: z.number().int().min(1).max(600).optional(),
  parallelCalls: z.number().int().min(1).max(256).optional(),
})

export type ToolsDocument = z.infer<typeof toolsSchema>
export type WebSearchDocument = z.infer<typeof webSearch>
export type CodeInterpreterDocument = z.infer<typeof codeInterpreter>
