// Items of agents' tools: what a client may send of them, and the calls that we write. A tool of these kinds runs at the
// client; the hosted ones (web search, code interpreter, …) are read in convert/agent-tools.ts by their type alone.
import { z } from 'zod'
import { firstIssue, list } from './check.ts'

const optional = <T extends z.ZodType>(schema: T) => schema.nullish()
const callId = z.string().min(1)
const head = { id: optional(z.string()), call_id: callId, status: optional(z.string()) }

const operation = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('create_file'), path: z.string(), diff: z.string() }),
  z.looseObject({ type: z.literal('update_file'), path: z.string(), diff: z.string() }),
  z.looseObject({ type: z.literal('delete_file'), path: z.string() }),
])

const customToolCall = z.looseObject({
  type: z.literal('custom_tool_call'),
  ...head,
  name: z.string().min(1).max(256),
  namespace: optional(z.string()),
  input: z.string(),
})
const localShellCall = z.looseObject({
  type: z.literal('local_shell_call'),
  ...head,
  action: z.looseObject({ command: list(z.string()) }),
})
const localShellCallOutput = z.looseObject({
  type: z.literal('local_shell_call_output'),
  // OpenAI's type has only `id`, which names the call; its own clients send call_id.
  id: optional(z.string()),
  call_id: optional(z.string()),
  output: z.string(),
})
const shellCall = z.looseObject({
  type: z.literal('shell_call'),
  ...head,
  action: z.looseObject({ commands: list(z.string()) }),
})
const shellCallOutput = z.looseObject({
  type: z.literal('shell_call_output'),
  call_id: callId,
  output: list(z.looseObject({ stdout: z.string(), stderr: z.string() })),
})
const applyPatchCall = z.looseObject({ type: z.literal('apply_patch_call'), ...head, operation })
const applyPatchCallOutput = z.looseObject({
  type: z.literal('apply_patch_call_output'),
  call_id: callId,
  status: z.string(),
  output: optional(z.string()),
})
const toolSearchCall = z.looseObject({
  type: z.literal('tool_search_call'),
  call_id: optional(z.string()),
  execution: optional(z.string()),
  arguments: z.unknown(),
})
const configurationUpdate = z.looseObject({
  type: z.literal('configuration_update'),
  reasoning: optional(z.looseObject({ effort: optional(z.string()) })),
  text: optional(z.looseObject({ verbosity: optional(z.string()) })),
})
const mcpCall = z.looseObject({
  type: z.literal('mcp_call'),
  id: callId,
  server_label: z.string(),
  name: z.string().min(1),
  arguments: z.string(),
  output: optional(z.string()),
})

/** A tool in an item of the history, by its type alone: its fields were checked as those of any tool. */
type ListedTool = Record<string, unknown> & { type: string }
export interface ToolSearchOutput {
  type: 'tool_search_output'
  call_id?: string | null
  execution?: unknown
  tools: ListedTool[]
}
export interface AdditionalTools {
  type: 'additional_tools'
  tools: ListedTool[]
}

/** What a client may send of agents' tools, by type; `content` is the schema of a tool's output, `tool` that of any tool. */
export function agentItemSchemas(
  content: z.ZodType,
  tool: () => z.ZodType,
): Record<string, z.ZodType> {
  const tools = list(z.lazy(tool), { max: 128 })
  return {
    custom_tool_call: customToolCall,
    custom_tool_call_output: z.looseObject({
      type: z.literal('custom_tool_call_output'),
      call_id: callId,
      output: content,
    }),
    local_shell_call: localShellCall,
    local_shell_call_output: localShellCallOutput,
    shell_call: shellCall,
    shell_call_output: shellCallOutput,
    apply_patch_call: applyPatchCall,
    apply_patch_call_output: applyPatchCallOutput,
    tool_search_call: toolSearchCall,
    tool_search_output: z.looseObject({
      type: z.literal('tool_search_output'),
      call_id: optional(z.string()),
      tools,
    }),
    additional_tools: z.looseObject({ type: z.literal('additional_tools'), tools }),
    configuration_update: configurationUpdate,
    mcp_call: mcpCall,
  }
}

export type CustomToolCall = z.infer<typeof customToolCall>
export type LocalShellCall = z.infer<typeof localShellCall>
export type LocalShellCallOutput = z.infer<typeof localShellCallOutput>
export type ShellCall = z.infer<typeof shellCall>
export type ShellCallOutput = z.infer<typeof shellCallOutput>
export type ApplyPatchCall = z.infer<typeof applyPatchCall>
export type ApplyPatchCallOutput = z.infer<typeof applyPatchCallOutput>
export type ToolSearchCall = z.infer<typeof toolSearchCall>
export type ConfigurationUpdate = z.infer<typeof configurationUpdate>
export type McpCall = z.infer<typeof mcpCall>

const format = z.looseObject({
  type: z.enum(['text', 'grammar']),
  syntax: optional(z.enum(['lark', 'regex'])),
  definition: optional(z.string()),
})
const customTool = z.looseObject({
  type: z.literal('custom'),
  name: z.string().min(1).max(256),
  description: optional(z.string()),
  format: optional(format),
})
export type CustomTool = z.infer<typeof customTool>

/** Tools beside functions whose fields we read, by type; `functionTool` is the schema of a function. */
export function agentToolSchemas(functionTool: z.ZodType): Record<string, z.ZodType> {
  const inner = new Map([
    ['function', functionTool],
    ['custom', customTool],
  ])
  return {
    custom: customTool,
    namespace: z.looseObject({
      type: z.literal('namespace'),
      name: z.string().min(1).max(256),
      description: optional(z.string()),
      tools: list(
        z.looseObject({ type: z.string() }).check((payload) => {
          const schema = inner.get(payload.value.type)
          const issue = schema && firstIssue(schema, payload.value)
          if (issue === undefined) return
          const { message, path } = issue
          payload.issues.push({ code: 'custom', message, path, input: payload.value })
        }),
        { max: 128 },
      ),
    }),
  }
}

// ---- the calls that we write

const status = z.enum(['in_progress', 'completed', 'incomplete'])
const written = { id: z.string(), call_id: z.string(), status }

const outputCustomCall = z.object({
  ...written,
  type: z.literal('custom_tool_call'),
  name: z.string(),
  namespace: z.string().optional(),
  input: z.string(),
})
const outputLocalShellCall = z.object({
  ...written,
  type: z.literal('local_shell_call'),
  action: z.object({
    type: z.literal('exec'),
    command: z.array(z.string()),
    env: z.record(z.string(), z.string()),
    timeout_ms: z.number().optional(),
    user: z.string().optional(),
    working_directory: z.string().optional(),
  }),
})
const outputShellCall = z.object({
  ...written,
  type: z.literal('shell_call'),
  action: z.object({
    commands: z.array(z.string()),
    timeout_ms: z.number().nullable(),
    max_output_length: z.number().nullable(),
  }),
  environment: z.null(),
})
const outputApplyPatchCall = z.object({
  ...written,
  type: z.literal('apply_patch_call'),
  operation: z.discriminatedUnion('type', [
    z.object({ type: z.literal('create_file'), path: z.string(), diff: z.string() }),
    z.object({ type: z.literal('update_file'), path: z.string(), diff: z.string() }),
    z.object({ type: z.literal('delete_file'), path: z.string() }),
  ]),
})
const outputToolSearchCall = z.object({
  ...written,
  type: z.literal('tool_search_call'),
  execution: z.literal('client'),
  arguments: z.record(z.string(), z.unknown()),
})

export const outputAgentCalls = [
  outputCustomCall,
  outputLocalShellCall,
  outputShellCall,
  outputApplyPatchCall,
  outputToolSearchCall,
] as const
export type OutputAgentCall = z.infer<(typeof outputAgentCalls)[number]>
