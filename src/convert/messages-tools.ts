// Tools of Messages as functions. What runs at the client becomes a function, Anthropic's own tools of fixed shape too;
// of what Anthropic's servers would run some can run here (messages-server-tools.ts), the rest is left out and named.
import type { McpServerEntry, MessagesTool, MessagesToolChoice } from '../protocol/messages.ts'
import type { FunctionTool, ResponsesRequest } from '../protocol/responses.ts'
import { isToolset, mcpTools, type PlacedTool, serverToolOf } from './messages-server-tools.ts'

type Schema = Record<string, unknown>

/** What the conversation says about tools: which deferred ones have been found, which came later and which have gone. */
export interface ToolChanges {
  referenced: ReadonlySet<string>
  removed: ReadonlySet<string>
  defined: readonly { tool: MessagesTool; path: string }[]
}

/** What of servers a request says outside of its tools. */
export interface ServerWishes {
  servers: readonly McpServerEntry[]
  container: string | undefined
}

/**
 * The functions of this turn. A tool with `defer_loading` waits until the conversation refers to it, unless the search that
 * would find it was to run on Anthropic's servers.
 */
export function toolsFromMessages(
  declared: readonly MessagesTool[],
  changes: ToolChanges,
  { servers, container }: ServerWishes,
): { tools: PlacedTool[]; dropped: string[] } {
  const canSearch = !declared.some(({ type }) => type?.startsWith('tool_search_tool_') === true)
  const all = [
    ...declared.map((tool, index) => ({ tool, path: `tools[${index}]` })),
    ...changes.defined,
  ]
  const tools = new Map<string, PlacedTool>()
  const running: PlacedTool[] = []
  const dropped: string[] = []
  for (const { tool, path } of all) {
    const offered = functionOf(tool)
    if (offered === undefined) {
      const server = serverToolOf(tool, container)
      if (server !== undefined) running.push({ tool: server, path })
      // A set is its server's, and told with it.
      else if (!isToolset(tool)) dropped.push(path)
      continue
    }
    const waits = canSearch && tool.defer_loading === true && !changes.referenced.has(offered.name)
    if (!waits && !changes.removed.has(offered.name)) {
      tools.set(offered.name, { tool: offered, path })
    }
  }
  running.push(...mcpTools(servers, declared))
  return { tools: [...tools.values(), ...running], dropped }
}

function functionOf(tool: MessagesTool): FunctionTool | undefined {
  const { type, name, description, input_schema, strict, input_examples } = tool
  if (type != null && type !== 'custom') return builtIn(type, tool)
  if (name === undefined) return undefined
  const examples = (input_examples ?? []).map((example) => JSON.stringify(example))
  const said = [description ?? '', ...(examples.length > 0 ? ['Examples of input:'] : [])]
  const text = [...said, ...examples].filter((line) => line !== '').join('\n')
  return functionTool(name, text === '' ? undefined : text, input_schema ?? {}, strict === true)
}

function functionTool(
  name: string,
  description: string | undefined,
  parameters: Schema,
  strict = false,
): FunctionTool {
  // Anthropic's `strict` is false unless said, Responses' is true: saying it keeps the meaning.
  return { type: 'function', name, ...(description ? { description } : {}), parameters, strict }
}

// ---- Anthropic's client tools: their schemas live in its models, so open models must be shown them
// https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview

/** `bash_20250124` → the function; undefined for tools that do not run at the client, and for whole sets of tools. */
function builtIn(type: string, tool: MessagesTool): FunctionTool | undefined {
  const kind = type.replace(/_\d{8}$/, '')
  switch (kind) {
    case 'bash':
      return functionTool(tool.name ?? 'bash', bashText, bashSchema)
    case 'text_editor': {
      const canUndo = type === 'text_editor_20241022' || type === 'text_editor_20250124'
      return functionTool(tool.name ?? 'str_replace_based_edit_tool', editorText, editor(canUndo))
    }
    case 'memory':
      return functionTool(tool.name ?? 'memory', memoryText, memorySchema)
    case 'computer':
      return functionTool(tool.name ?? 'computer', computerText(tool), computerSchema)
    default:
      return undefined
  }
}

const string = (description: string): Schema => ({ type: 'string', description })
const integer = (description: string): Schema => ({ type: 'integer', description })
const pair = (description: string): Schema => ({
  type: 'array',
  items: { type: 'integer' },
  description,
})

function object(properties: Record<string, Schema>, required: readonly string[]): Schema {
  return { type: 'object', properties, required: [...required] }
}

const bashText = 'Runs a command in a bash session that lasts from call to call.'
const bashSchema = object(
  {
    command: string('The command; needed unless the session is restarted.'),
    restart: { type: 'boolean', description: 'True to start the session anew.' },
  },
  [],
)

const editorText = 'Views and edits text files.'
function editor(canUndo: boolean): Schema {
  const commands = ['view', 'create', 'str_replace', 'insert', ...(canUndo ? ['undo_edit'] : [])]
  return object(
    {
      command: { type: 'string', enum: commands },
      path: string('Path of the file, or of a folder to view.'),
      view_range: pair('First and last line to view; -1 for the end.'),
      file_text: string('The text of a file to create.'),
      old_str: string('Text to replace; it must occur once.'),
      new_str: string('What replaces it.'),
      insert_line: integer('The line after which text is inserted; 0 for the beginning.'),
      insert_text: string('The text to insert.'),
    },
    ['command', 'path'],
  )
}

const memoryText = 'Keeps notes in files under /memories, from one conversation to the next.'
const memorySchema = object(
  {
    command: {
      type: 'string',
      enum: ['view', 'create', 'str_replace', 'insert', 'delete', 'rename'],
    },
    path: string('Path under /memories.'),
    view_range: pair('First and last line to view.'),
    file_text: string('The text of a file to create.'),
    old_str: string('Text to replace.'),
    new_str: string('What replaces it.'),
    insert_line: integer('The line after which text is inserted.'),
    insert_text: string('The text to insert.'),
    old_path: string('Path of what is renamed.'),
    new_path: string('Its new path.'),
  },
  ['command'],
)

function computerText(tool: MessagesTool): string {
  const { display_width_px: width, display_height_px: height } = tool
  const size = typeof width === 'number' && typeof height === 'number' ? `${width}×${height}` : ''
  return `Uses mouse, keyboard and screen${size === '' ? '' : ` (${size} pixels)`} of a computer.`
}
const computerActions = [
  'key hold_key type cursor_position mouse_move left_mouse_down left_mouse_up left_click',
  'left_click_drag right_click middle_click double_click triple_click scroll wait screenshot zoom',
].flatMap((line) => line.split(' '))
const computerSchema = object(
  {
    action: { type: 'string', enum: computerActions },
    coordinate: pair('x and y in pixels.'),
    start_coordinate: pair('Where a drag begins.'),
    text: string('Text to type, or keys to press (ctrl+s).'),
    scroll_direction: { type: 'string', enum: ['up', 'down', 'left', 'right'] },
    scroll_amount: integer('How many clicks of the wheel.'),
    duration: { type: 'number', description: 'Seconds to hold or to wait.' },
    region: pair('x0, y0, x1 and y1 of what is zoomed.'),
  },
  ['action'],
)

// ---- choice

/** The tool choice in canonical words; without tools there is nothing to choose, and several servers refuse to be told so. */
export function choiceFromMessages(
  choice: MessagesToolChoice | null | undefined,
  hasTools: boolean,
): Pick<ResponsesRequest, 'tool_choice' | 'parallel_tool_calls'> {
  if (choice == null) return {}
  const parallel =
    choice.disable_parallel_tool_use === true && hasTools ? { parallel_tool_calls: false } : {}
  switch (choice.type) {
    case 'any':
      return { tool_choice: 'required', ...parallel }
    case 'tool':
      return { tool_choice: { type: 'function', name: choice.name }, ...parallel }
    case 'auto':
    case 'none':
      return hasTools ? { tool_choice: choice.type, ...parallel } : {}
  }
}
