// Conversation → token ids of the prompt for the assistant's next message.
// A prompt is a list of segments, each text or control token, and is never joined into a string before it is encoded:
// whatever a user or a tool writes can not become a control token. Forms as OpenAI's harmony library prints them.
// https://cookbook.openai.com/articles/openai-harmony
import type { Channel } from './harmony-header.ts'
import {
  type ContentPart,
  conversation,
  type DeveloperContent,
  type HarmonyMessage,
  type Namespaces,
  type SystemContent,
} from './harmony-message.ts'
import { schemaToTypeScript } from './harmony-schema.ts'
import { endsInCall, lastChannel, onChannel, turnsOf } from './harmony-turns.ts'
import { type ControlName, control, controlIds, type Vocabulary } from './vocabulary.ts'

export type Segment = { text: string } | { control: ControlName }

export interface RenderedPrompt {
  ids: number[]
  /** The same for the eye: control tokens by name. Never encode this. */
  text: string
}

/** Renders the prompt for the assistant's next message; analysis of finished turns is left out. */
export function renderConversation(
  messages: readonly HarmonyMessage[],
  vocabulary: Vocabulary,
): RenderedPrompt {
  return encodeSegments(conversationSegments(messages), vocabulary)
}

/** Texts longer than this are encoded off the thread that serves everybody. */
const longText = 16_384

/** The model's own tokens of an assistant's turn that ends in a call, if they are known. */
export type KnownTurns = (turn: readonly HarmonyMessage[]) => readonly number[] | undefined

/** The ids of renderConversation, without holding up the thread for long texts; known turns keep their tokens. */
export async function encodeConversation(
  messages: readonly HarmonyMessage[],
  vocabulary: Vocabulary,
  knownTurns?: KnownTurns,
): Promise<number[]> {
  const special = controlIds(vocabulary)
  const ids: number[] = []
  const encode = async (segments: readonly Segment[]) => {
    for (const segment of segments) {
      if ('control' in segment) ids.push(special[segment.control])
      else if (segment.text.length > longText && vocabulary.encodeAsync) {
        for (const id of await vocabulary.encodeAsync(segment.text)) ids.push(id)
      } else for (const id of vocabulary.encode(segment.text)) ids.push(id)
    }
  }
  const functions = messages.some((item) => hasFunctions(item))
  // Where the model itself made the call before, if that is known.
  let called: Channel | undefined
  for (const turn of turnsOf(dropOldAnalysis(messages))) {
    const known = endsInCall(turn) ? knownTurns?.(turn) : undefined
    if (known === undefined) {
      const items = turn.map((item) => onChannel(item, called))
      await encode(items.flatMap((item) => messageSegments(item, functions)))
    } else {
      await encode(openHeader)
      for (const id of known) ids.push(id)
    }
    called = known && lastChannel(known, vocabulary)
  }
  await encode(openHeader)
  return ids
}

const openHeader: readonly Segment[] = [{ control: 'start' }, { text: 'assistant' }]

/** What follows a call of a tool that does not exist, up to the open header of the next message. */
export function renderToolError(recipient: string, vocabulary: Vocabulary): number[] {
  const error: HarmonyMessage = {
    role: 'tool',
    name: recipient,
    recipient: 'assistant',
    channel: 'commentary',
    content: `Error: there is no tool '${recipient}'.`,
  }
  return encodeSegments([...messageSegments(error, false), ...openHeader], vocabulary).ids
}

/** `switchyard render`: `{"messages": […]}` as parsed JSON; throws with the path of a bad field. */
export function renderCommand(json: unknown, vocabulary: Vocabulary): RenderedPrompt {
  const parsed = conversation.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new Error(
      `${issue?.path.join('.') || 'input'}: ${issue?.message ?? 'not a conversation'}`,
    )
  }
  return renderConversation(parsed.data.messages, vocabulary)
}

/** The prompt as segments, ending with the open header of the assistant's next message. */
export function conversationSegments(messages: readonly HarmonyMessage[]): Segment[] {
  const functions = messages.some((item) => hasFunctions(item))
  const segments = dropOldAnalysis(messages).flatMap((item) => messageSegments(item, functions))
  return [...segments, ...openHeader]
}

/**
 * Everything that the assistant thought before its last final answer is dropped; inside an unfinished tool loop it stays.
 * (The library drops only what precedes the first final answer.)
 */
export function dropOldAnalysis(messages: readonly HarmonyMessage[]): HarmonyMessage[] {
  const lastFinal = messages.findLastIndex(
    (item) => item.role === 'assistant' && item.channel === 'final',
  )
  return messages.filter((item, index) => index > lastFinal || item.channel !== 'analysis')
}

function encodeSegments(segments: readonly Segment[], vocabulary: Vocabulary): RenderedPrompt {
  const special = controlIds(vocabulary)
  const ids: number[] = []
  let text = ''
  for (const segment of segments) {
    if ('control' in segment) {
      ids.push(special[segment.control])
      text += control[segment.control]
    } else {
      // Not push(...encoded): a long text has more ids than a call may have arguments.
      for (const id of vocabulary.encode(segment.text)) ids.push(id)
      text += segment.text
    }
  }
  return { ids, text }
}

function messageSegments(item: HarmonyMessage, functions: boolean): Segment[] {
  const author = item.role === 'tool' ? (item.name ?? 'tool') : item.role
  const named = item.name != null && item.role !== 'tool' ? `${author}:${item.name}` : author
  const segments: Segment[] = [{ control: 'start' }, { text: named }]
  const { recipient } = item
  if (recipient != null && recipient !== 'all') segments.push({ text: ` to=${recipient}` })
  if (item.channel != null) segments.push({ control: 'channel' }, { text: item.channel })
  if (item.content_type?.startsWith(control.constrain)) {
    const type = item.content_type.slice(control.constrain.length)
    segments.push({ text: ' ' }, { control: 'constrain' }, { text: type })
  } else if (item.content_type != null) {
    segments.push({ text: ` ${item.content_type}` })
  }
  segments.push({ control: 'message' }, ...contentSegments(item, functions))
  // Also of a call to everybody, which no header names.
  segments.push({ control: item.role === 'assistant' && recipient != null ? 'call' : 'end' })
  return segments
}

function contentSegments(item: HarmonyMessage, functions: boolean): Segment[] {
  if (typeof item.content === 'string') return [{ text: item.content }]
  return item.content.map((part) => ({ text: contentText(part, functions) }))
}

function contentText(part: ContentPart, functions: boolean): string {
  switch (part.type) {
    case 'text':
      return part.text
    case 'system_content':
      return systemText(part, functions)
    case 'developer_content':
      return developerText(part)
  }
}

function hasFunctions(item: HarmonyMessage): boolean {
  if (item.role !== 'developer' || typeof item.content === 'string') return false
  return item.content.some(
    (part) => part.type === 'developer_content' && (part.tools?.functions?.tools.length ?? 0) > 0,
  )
}

function systemText(content: SystemContent, functions: boolean): string {
  const head: string[] = []
  if (content.model_identity != null) head.push(content.model_identity)
  if (content.knowledge_cutoff != null) head.push(`Knowledge cutoff: ${content.knowledge_cutoff}`)
  if (content.conversation_start_date != null) {
    head.push(`Current date: ${content.conversation_start_date}`)
  }
  const sections = head.length > 0 ? [head.join('\n')] : []
  if (content.reasoning_effort) {
    sections.push(`Reasoning: ${content.reasoning_effort.toLowerCase()}`)
  }
  if (content.tools && Object.keys(content.tools).length > 0) {
    sections.push(toolsText(content.tools))
  }
  const channels = content.channel_config
  if (channels && channels.valid_channels.length > 0) {
    let line = `# Valid channels: ${channels.valid_channels.join(', ')}.`
    if (channels.channel_required) line += ' Channel must be included for every message.'
    if (functions) line += "\nCalls to these tools must go to the commentary channel: 'functions'."
    sections.push(line)
  }
  return sections.join('\n\n')
}

function developerText(content: DeveloperContent): string {
  const sections: string[] = []
  if (content.instructions != null) sections.push(`# Instructions\n\n${content.instructions}`)
  if (content.tools && Object.keys(content.tools).length > 0) {
    sections.push(toolsText(content.tools))
  }
  const format = content.response_format
  if (format) {
    const description = format.description ? `// ${format.description}\n` : ''
    const schema = JSON.stringify(format.schema)
    sections.push(`# Response Formats\n\n## ${format.name}\n\n${description}${schema}`)
  }
  return sections.join('\n\n')
}

function toolsText(all: Namespaces): string {
  const names = Object.keys(all).sort()
  return ['# Tools', ...names.map((name) => namespaceText(all[name]!))].join('\n\n')
}

function namespaceText(namespace: Namespaces[string]): string {
  const lines = [`## ${namespace.name}\n`]
  const callable = namespace.tools.length > 0
  for (const line of textLines(namespace.description)) lines.push(callable ? `// ${line}` : line)
  if (callable) {
    lines.push(`namespace ${namespace.name} {\n`)
    for (const item of namespace.tools) {
      for (const line of textLines(item.description)) lines.push(`// ${line}`)
      const given = item.parameters !== undefined && item.parameters !== null
      const parameters = given ? `_: ${schemaToTypeScript(item.parameters, '')}` : ''
      lines.push(`type ${item.name} = (${parameters}) => any;\n`)
    }
    lines.push(`} // namespace ${namespace.name}`)
  }
  return lines.join('\n')
}

/** Lines as Rust's str::lines gives them: no empty line after a last line feed. */
function textLines(text: string | null | undefined): string[] {
  if (!text) return []
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}
