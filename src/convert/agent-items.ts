// The history of agents' tools as function calls and their outputs: what a model that knows functions only can read.
import type {
  AdditionalTools,
  ApplyPatchCall,
  ApplyPatchCallOutput,
  ConfigurationUpdate,
  CustomToolCall,
  LocalShellCall,
  LocalShellCallOutput,
  McpCall,
  ShellCall,
  ShellCallOutput,
  ToolSearchCall,
  ToolSearchOutput,
} from '../protocol/call-items.ts'
import { isObject } from '../protocol/check.ts'
import type {
  FunctionCallItem,
  FunctionCallOutputItem,
  InputItem,
  ResponsesRequest,
} from '../protocol/responses.ts'
import { inputKey } from '../stream/call-shape.ts'
import { hostedItems } from './hosted-tools.ts'

/** What the items need to know of the tools. */
export interface ToolContext {
  name(namespace: string | undefined, name: string): string
  /** The function that stands for a tool type. */
  builtIn(type: string): string
  /** Offers a tool that the history brings. */
  offer(tool: Record<string, unknown> & { type: string }, path: string): void
  leaveOut(what: string): void
}

type Settings = Pick<ResponsesRequest, 'reasoning' | 'text'>

type Lower = (item: never, context: ToolContext, state: State, path: string) => InputItem[]

interface State {
  /** Id of a local shell call → its call_id: OpenAI's type of the output has the item's id alone. */
  shellCalls: Map<string, string>
  settings: Settings
}

/** True for an item that a model cannot be told as it is. */
export function needsLowering(item: InputItem): boolean {
  const type: string = item.type ?? 'message'
  if (type === 'function_call') return typeof item.namespace === 'string'
  return Object.hasOwn(lowerings, type) || hostedItems.has(type)
}

/** The input as function calls; `settings` are fields of the request that its items changed. */
export function loweredItems(
  input: readonly InputItem[],
  { reasoning, text }: ResponsesRequest,
  context: ToolContext,
): { input: InputItem[]; settings: Settings } {
  const state: State = { shellCalls: new Map(), settings: {} }
  if (reasoning != null) state.settings.reasoning = reasoning
  if (text != null) state.settings.text = text
  const items = input.flatMap((item, index) => {
    const type: string = item.type ?? 'message'
    const path = `input[${index}]`
    if (hostedItems.has(type)) {
      context.leaveOut(`${path} (${type})`)
      return []
    }
    const lower = Object.hasOwn(lowerings, type) ? lowerings[type] : undefined
    return lower === undefined ? [item] : lower(item as never, context, state, path)
  })
  return { input: items, settings: state.settings }
}

function call(call_id: string, name: string, args: unknown): FunctionCallItem {
  return { type: 'function_call', call_id, name, arguments: JSON.stringify(args) }
}

function output(call_id: string, text: string): FunctionCallOutputItem {
  return { type: 'function_call_output', call_id, output: text }
}

/** The item was checked where the request came in, so that its type tells its fields. */
const lowerings: Readonly<Record<string, Lower>> = {
  function_call: (item: FunctionCallItem, { name }) => {
    const { namespace, ...rest } = item
    return [typeof namespace === 'string' ? { ...rest, name: name(namespace, item.name) } : item]
  },
  custom_tool_call: (item: CustomToolCall, { name }) => [
    call(item.call_id, name(item.namespace ?? undefined, item.name), { [inputKey]: item.input }),
  ],
  custom_tool_call_output: (item: FunctionCallOutputItem) => [
    { ...item, type: 'function_call_output' },
  ],
  local_shell_call: (item: LocalShellCall, { builtIn }, { shellCalls }) => {
    if (typeof item.id === 'string') shellCalls.set(item.id, item.call_id)
    const { type: _, ...action } = item.action
    return [call(item.call_id, builtIn('local_shell'), withoutNulls(action))]
  },
  local_shell_call_output: (item: LocalShellCallOutput, _context, { shellCalls }) => {
    const id = item.id ?? ''
    return [output(item.call_id ?? shellCalls.get(id) ?? id, item.output)]
  },
  shell_call: (item: ShellCall, { builtIn }) => [
    call(item.call_id, builtIn('shell'), withoutNulls(item.action)),
  ],
  shell_call_output: (item: ShellCallOutput) => [output(item.call_id, JSON.stringify(item.output))],
  apply_patch_call: (item: ApplyPatchCall, { builtIn }) => [
    call(item.call_id, builtIn('apply_patch'), item.operation),
  ],
  apply_patch_call_output: (item: ApplyPatchCallOutput) => [
    output(item.call_id, item.output ? `${item.status}: ${item.output}` : item.status),
  ],
  // A search that ran at a server leaves tools behind and no question that the model would have to see.
  tool_search_call: (item: ToolSearchCall, { builtIn }) =>
    item.call_id == null || item.execution === 'server'
      ? []
      : [call(item.call_id, builtIn('tool_search'), item.arguments)],
  tool_search_output: (item: ToolSearchOutput, { offer }, _state, path) => {
    for (const [index, tool] of item.tools.entries()) offer(tool, `${path}.tools[${index}]`)
    if (item.call_id == null || item.execution === 'server') return []
    const found = item.tools.map(({ type, name }) => name ?? type)
    return [output(item.call_id, JSON.stringify({ found }))]
  },
  additional_tools: (item: AdditionalTools, { offer }, _state, path) => {
    for (const [index, tool] of item.tools.entries()) offer(tool, `${path}.tools[${index}]`)
    return []
  },
  configuration_update: (item: ConfigurationUpdate, _context, { settings }) => {
    if (isObject(item.reasoning)) {
      settings.reasoning = { ...settings.reasoning, ...item.reasoning } as Settings['reasoning']
    }
    if (isObject(item.text)) settings.text = { ...settings.text, ...item.text } as Settings['text']
    return []
  },
  mcp_call: (item: McpCall, { name }) => [
    {
      type: 'function_call',
      call_id: item.id,
      name: name(item.server_label, item.name),
      arguments: item.arguments,
    },
    output(item.id, item.output ?? mcpFault(item.error)),
  ],
}

function mcpFault(error: unknown): string {
  return error == null ? '' : JSON.stringify({ error })
}

function withoutNulls(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null))
}
