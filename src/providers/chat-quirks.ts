// How the chat dialects of providers differ from OpenAI's, as data, and the one function that applies it to a request body.
import { isObject } from '../protocol/check.ts'
import type { Adapt } from './adapt.ts'

export interface ChatQuirks {
  /**
   * Field of an assistant message that carries earlier reasoning; `think`: in front of its content, as the model wrote it;
   * `drop` where every name for it is refused. Unset: left as it is.
   */
  reasoningReplay?: 'reasoning' | 'reasoning_content' | 'think' | 'drop'
  /** Where earlier reasoning is wanted only while a turn goes on, from the last user's message; else it is refused or a waste. */
  reasoningOfTurn?: boolean
  /** The only top-level fields that the provider takes: anything else is answered with 400. */
  allow?: readonly string[]
  /** Top-level fields that the provider refuses. */
  refuse?: readonly string[]
  /** Fields of a message that the provider refuses. */
  refuseInMessages?: readonly string[]
  /** Where the stream carries no usage unless `stream_options.include_usage` asks for it. */
  includeUsage?: boolean
  /** The name of the length limit, where only one of the two is known. */
  maxTokens?: 'max_tokens' | 'max_completion_tokens'
}

const reasoningFields = ['reasoning', 'reasoning_content'] as const

/** gpt-oss knows three levels; OpenAI's clients send seven. */
const gptOssEffort: ReadonlyMap<string, string> = new Map([
  ['none', 'low'],
  ['minimal', 'low'],
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['xhigh', 'high'],
  ['max', 'high'],
])

/** Makes the last change to a chat request for a provider; other dialects pass as they are. */
export function chatAdapter(quirks: ChatQuirks): Adapt {
  return (given, dialect) => {
    if (dialect !== 'chat') return { body: given, dropped: [] }
    const body = { ...given }
    renameMaxTokens(body, quirks.maxTokens)
    mapEffort(body)
    const dropped = dropFields(body, quirks)
    if (Array.isArray(body.messages)) {
      const messages: unknown[] = body.messages
      const turn = quirks.reasoningOfTurn === true ? messages.map(isFromUser).lastIndexOf(true) : -1
      body.messages = messages.map((message: unknown, index) =>
        adaptMessage(message, index < turn ? { ...quirks, reasoningReplay: 'drop' } : quirks),
      )
    }
    if (quirks.includeUsage && body.stream === true) {
      const options = isObject(body.stream_options) ? body.stream_options : {}
      body.stream_options = { ...options, include_usage: true }
    }
    return { body, dropped }
  }
}

function adaptMessage(message: unknown, quirks: ChatQuirks): unknown {
  if (!isObject(message)) return message
  const adapted = { ...message }
  // Chat templates outside OpenAI know no developer role: most servers answer 400, some drop the message.
  if (adapted.role === 'developer') adapted.role = 'system'
  for (const field of quirks.refuseInMessages ?? []) delete adapted[field]
  if (adapted.role === 'assistant' && quirks.reasoningReplay) {
    const said = reasoningFields.map((field) => adapted[field]).find(isText)
    for (const field of reasoningFields) delete adapted[field]
    if (said) replay(adapted, said, quirks.reasoningReplay)
  }
  return adapted
}

function replay(
  message: Record<string, unknown>,
  said: string,
  how: NonNullable<ChatQuirks['reasoningReplay']>,
): void {
  if (how === 'drop') return
  if (how !== 'think') {
    message[how] = said
    return
  }
  const content = typeof message.content === 'string' ? message.content : ''
  message.content = `<think>\n${said}\n</think>\n\n${content}`
}

function isFromUser(message: unknown): boolean {
  return isObject(message) && message.role === 'user'
}

/** Fields that mean nothing when null or empty are dropped without a word: SDKs send them for completeness. */
function dropFields(body: Record<string, unknown>, quirks: ChatQuirks): string[] {
  const dropped: string[] = []
  for (const field of Object.keys(body)) {
    const refused =
      quirks.refuse?.includes(field) || (quirks.allow && !quirks.allow.includes(field))
    if (!refused) continue
    // stream_options is ours: usage is asked for everywhere, and where it is refused it comes unasked.
    const meant = body[field] !== null && body[field] !== undefined && body[field] !== false
    if (meant && field !== 'stream_options') dropped.push(field)
    delete body[field]
  }
  return dropped
}

function renameMaxTokens(body: Record<string, unknown>, name: ChatQuirks['maxTokens']): void {
  if (!name) return
  const other = name === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens'
  if (body[other] === undefined) return
  body[name] ??= body[other]
  delete body[other]
}

function mapEffort(body: Record<string, unknown>): void {
  if (typeof body.model !== 'string' || !body.model.includes('gpt-oss')) return
  if (typeof body.reasoning_effort !== 'string') return
  body.reasoning_effort = gptOssEffort.get(body.reasoning_effort) ?? body.reasoning_effort
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
