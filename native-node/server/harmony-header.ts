// A message header as the model wrote it → author, channel, recipient, content type.
// Strict where the model is right; forgiving where it is known to slip (doubled channels, `commentary?`, a recipient
// glued to its content type, bare function names): a malformed header must cost a label, never the text behind it.

export type Channel = 'analysis' | 'commentary' | 'final'

export interface Header {
  role: string
  /** The tool's name when the role is `tool`. */
  name?: string
  /** Undefined when nothing in the header looks like a channel. */
  channel?: Channel
  recipient?: string
  content_type?: string
}

/** The text between the control tokens of a header, in order. `prompt`: the prompt itself opened the header. */
export interface HeaderPiece {
  after: 'prompt' | 'start' | 'channel' | 'constrain'
  text: string
}

const channels: readonly Channel[] = ['analysis', 'commentary', 'final']
const roles: ReadonlySet<string> = new Set(['system', 'developer', 'user', 'assistant', 'tool'])
const contentTypes: ReadonlySet<string> = new Set(['json', 'code', 'text'])

/** Reads a complete header. `functions`: names that the client declared; undefined: any name is taken as it is. */
export function parseHeader(
  pieces: readonly HeaderPiece[],
  functions: ReadonlySet<string> | undefined,
): Header {
  const header: Header = { role: 'assistant' }
  const words: string[] = []
  for (const piece of pieces) {
    const parts = piece.text.replaceAll('to= ', 'to=').split(/\s+/).filter(Boolean)
    if (piece.after === 'constrain') {
      if (parts[0] !== undefined) header.content_type = `<|constrain|>${parts[0]}`
      words.push(...parts.slice(1))
    } else if (piece.after === 'channel') {
      const channel = channelOf(parts[0])
      if (channel) header.channel = channel
      words.push(...(channel ? parts.slice(1) : parts))
    } else {
      words.push(...readAuthor(header, parts))
    }
  }
  readWords(header, words, functions)
  // A channel that is none: a call belongs to commentary. Without any, as in the library, it has none.
  const lost = header.channel === undefined && pieces.some(({ after }) => after === 'channel')
  if (lost && header.role === 'assistant' && header.recipient) header.channel = 'commentary'
  return header
}

/** The author stands first, possibly doubled (`assistantassistant`); gives the words behind it. */
function readAuthor(header: Header, parts: string[]): string[] {
  const [first, ...rest] = parts
  if (first === undefined) return []
  const bare = first.replace(/^(assistant)+/, '')
  if (bare !== first) {
    // `<|start|>assistantfinal`: the channel token was lost.
    const channel = channelOf(bare)
    if (channel) header.channel = channel
    return bare === '' || channel ? rest : [bare, ...rest]
  }
  const role = first.split(':')[0]
  if (role !== undefined && roles.has(role)) {
    header.role = role
    if (first.length > role.length) header.name = first.slice(role.length + 1)
    return rest
  }
  if (!first.startsWith('to=') && rest.some((word) => word.startsWith('to='))) {
    header.role = 'tool'
    header.name = first
    return rest
  }
  return parts
}

function readWords(
  header: Header,
  words: readonly string[],
  functions: ReadonlySet<string> | undefined,
): void {
  for (const word of words) {
    if (word.startsWith('to=')) setRecipient(header, word.slice(3), functions)
    else if (contentTypes.has(word)) header.content_type ??= word
    else if (header.recipient === undefined && looksLikeRecipient(word, functions)) {
      setRecipient(header, word, functions)
    } else if (header.channel === undefined && isChannel(word)) {
      header.channel = word
    } else if (header.recipient !== undefined) {
      // Whatever stands behind a recipient says what is sent to it.
      header.content_type ??= word
    }
  }
}

function isChannel(word: string): word is Channel {
  return channels.some((name) => name === word)
}

function looksLikeRecipient(word: string, functions: ReadonlySet<string> | undefined): boolean {
  return functions?.has(word) || /^functions\.[\w.-]+$/.test(word)
}

function setRecipient(
  header: Header,
  raw: string,
  functions: ReadonlySet<string> | undefined,
): void {
  const recipient = raw.replace(/<\|.*$/, '')
  if (recipient === '' || recipient === 'all' || recipient === 'user') return
  // An answer addressed to itself is an answer; a tool's result keeps its address.
  if (recipient === 'assistant' && header.role === 'assistant') return
  header.recipient = functions ? declaredName(recipient, functions) : recipient
}

function declaredName(recipient: string, functions: ReadonlySet<string>): string {
  const name = recipient.replace(/^functions\./, '')
  if (functions.has(name)) return `functions.${name}`
  const unglued = name.replace(/(json|code)$/, '')
  return functions.has(unglued) ? `functions.${unglued}` : recipient
}

/**
 * What a header holds besides its labels: the content of a message whose `<|message|>` never came.
 * `cut`: the generation ended here, so that half a label is a label too.
 */
export function headerContent(pieces: readonly HeaderPiece[], cut: boolean): string {
  let content = ''
  let addressed = false
  for (const { after, text } of pieces) {
    let rest = text.trimStart()
    if (after === 'channel') rest = withoutChannel(rest, cut)
    else if (after === 'constrain') rest = rest.replace(/^\w*\s*/, '')
    else rest = withoutAuthor(rest, after === 'start', cut)
    const unaddressed = rest.replace(/^to=\s?\S*\s*/, '')
    addressed ||= unaddressed !== rest
    rest = unaddressed.replace(/^(json|code|text)(?=\s|$)\s*/, '')
    // Any type of content may stand behind a recipient.
    if (cut && (rest === 'to' || (addressed && /^[a-z]+$/.test(rest)))) rest = ''
    content += content === '' ? rest : text
  }
  return content
}

function withoutChannel(text: string, cut: boolean): string {
  if (cut && channels.some((name) => name.startsWith(text))) return ''
  const word = text.match(/^\S+/)?.[0]
  return word && channelOf(word) ? text.slice(word.length).trimStart() : text
}

function withoutAuthor(text: string, started: boolean, cut: boolean): string {
  const rest = text.replace(/^(assistant)+\s*/, '')
  if (!started) return rest
  if (roles.has(rest.trim())) return ''
  if (!cut) return rest
  if ([...roles].some((role) => role.startsWith(rest))) return ''
  // The tool whose result the model makes up, and to whom.
  if (/^(functions|browser|python)\b[\w.-]*$/.test(rest)) return ''
  const [author = '', to = ''] = rest.split(/\s+/)
  const labels = /^to(=|$)/.test(to) || (roles.has(author) && to === '')
  return labels ? rest.slice(author.length).trimStart() : rest
}

/** `commentary?`, `––commentary`, `finalx`: the last thing that begins like a channel's name. */
export function channelOf(word: string | undefined): Channel | undefined {
  const found = word
    ?.toLowerCase()
    .match(/analy|comment|fin/g)
    ?.at(-1)
  if (found === 'analy') return 'analysis'
  if (found === 'comment') return 'commentary'
  return found === undefined ? undefined : 'final'
}
