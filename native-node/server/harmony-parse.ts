// Token ids of a generation → messages, as a state machine over tokens: a control token is known by its id, so text
// that spells one is text. Follows OpenAI's harmony parser where the model is right. Where it is not (1 turn in 25 at
// temperature 1), nothing throws and no text is lost; the recoveries stand at the states where they happen.
import { type Header, type HeaderPiece, headerContent, parseHeader } from './harmony-header.ts'
import { type ControlName, controlIds, type Vocabulary } from './vocabulary.ts'

/** One message in the JSON form of OpenAI's harmony library. */
export interface ParsedMessage {
  role: string
  name?: string
  recipient?: string
  content: string
  channel?: string
  content_type?: string
}

/** How a message ended; `cut`: by the end of the generation, or by the next message without a mark of its own. */
export type Ending = 'end' | 'return' | 'call' | 'cut'

export type ParserEvent =
  | { type: 'open'; header: Header }
  /** `positions`: which pushed tokens (counted from 0) the text came from. */
  | { type: 'delta'; text: string; positions: number[] }
  /** `tokens`: how many tokens the content took, its end mark included. */
  | { type: 'close'; message: ParsedMessage; ending: Ending; tokens: number }

export interface ParserOptions {
  /** Functions that the client declared; without it any recipient is taken as it is. */
  functions?: ReadonlySet<string>
}

/** Tokens that break a character may follow each other for long; text is not held back for longer than this. */
const mostHeld = 64

interface OpenMessage {
  header: Header
  content: string
  tokens: number
  /** No channel could be read: what it is shows only when the next message comes, or none. */
  orphan: boolean
}

/** Feed ids with push, then end once; both give what became known. */
export class HarmonyParser {
  readonly #vocabulary: Vocabulary
  readonly #functions: ReadonlySet<string> | undefined
  readonly #controls: ReadonlyMap<number, ControlName>
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })

  /** `between`: after a message's end, where only `<|start|>` is legal. */
  #state: 'header' | 'content' | 'between' = 'header'
  /** The header that is being read; the prompt ended with `<|start|>assistant`. */
  #pieces: HeaderPiece[] = [{ after: 'prompt', text: '' }]
  /** Set in state content. */
  #open: OpenMessage | undefined
  /** A finished message without a channel. */
  #orphan: { open: OpenMessage; ending: Ending; positions: number[] } | undefined
  /** Text between messages that may still turn out to be the word `assistant`. */
  #loose = ''
  /** Text of a token that ends inside a character: it comes with the tokens that complete that. */
  #held = ''
  /** The last bytes, from which one sees whether a character is whole. */
  #tail: number[] = []
  /** Tokens that no delta has named yet. */
  #positions: number[] = []
  #position = -1
  #events: ParserEvent[] = []

  constructor(vocabulary: Vocabulary, options: ParserOptions = {}) {
    this.#vocabulary = vocabulary
    this.#functions = options.functions
    const ids = Object.entries(controlIds(vocabulary)) as [ControlName, number][]
    this.#controls = new Map(ids.map(([name, id]) => [id, name]))
  }

  push(id: number): ParserEvent[] {
    this.#position++
    if (this.#open) this.#open.tokens++
    const name = this.#controls.get(id)
    if (name !== undefined) {
      this.#endText()
      this.#control(name)
    } else if (!this.#vocabulary.isSpecial(id)) {
      this.#positions.push(this.#position)
      this.#bytes(this.#vocabulary.tokenBytes(id))
    }
    return this.#take()
  }

  /** The generation has ended: closes what is open. */
  end(): ParserEvent[] {
    this.#endText()
    this.#finish('cut')
    if (this.#orphan) this.#resolveOrphan('final')
    return this.#take()
  }

  #take(): ParserEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  /** As in the library, what a token has in front of half a character waits for the other half. */
  #bytes(bytes: Uint8Array): void {
    this.#held += this.#decoder.decode(bytes, { stream: true })
    this.#tail = [...this.#tail, ...bytes.subarray(-3)].slice(-3)
    if (endsInside(this.#tail) && this.#held.length < mostHeld) return
    const text = this.#held
    this.#held = ''
    this.#text(text)
  }

  /** A control token or the end of all: bytes still held can not be completed any more. */
  #endText(): void {
    const text = this.#held + this.#decoder.decode()
    this.#held = ''
    this.#tail = []
    this.#text(text)
  }

  #text(text: string): void {
    if (text === '') return
    switch (this.#state) {
      case 'header':
        this.#pieces.at(-1)!.text += text
        return
      case 'content':
        this.#delta(text)
        return
      case 'between': {
        this.#loose += text
        // `assistant` as plain text instead of after `<|start|>`, or white space: not an answer yet.
        if ('assistant'.startsWith(this.#loose.trim())) return
        this.#openLoose()
      }
    }
  }

  /** Text where a message should have begun: it goes on with the answer. */
  #openLoose(): void {
    const text = this.#loose
    this.#loose = ''
    this.#begin({ role: 'assistant', channel: 'final' })
    this.#delta(text)
  }

  #control(name: ControlName): void {
    if (this.#state === 'content') {
      // A doubled <|message|> or a stray <|constrain|> says nothing.
      if (name === 'message' || name === 'constrain') return
    } else if (name === 'constrain' && this.#state === 'between') return
    switch (name) {
      case 'message':
        this.#startContent()
        return
      case 'constrain':
        this.#pieces.push({ after: 'constrain', text: '' })
        return
      case 'start':
        // <|end|> was left out, or <|start|> doubled.
        this.#finish('cut')
        this.#startHeader({ after: 'start', text: '' })
        return
      case 'channel':
        if (this.#state === 'header') this.#pieces.push({ after: 'channel', text: '' })
        else {
          this.#finish('cut')
          this.#startHeader({ after: 'start', text: '' }, { after: 'channel', text: '' })
        }
        return
      case 'endOfText':
        this.#finish('cut')
        return
      default:
        this.#finish(name)
    }
  }

  #startHeader(...pieces: HeaderPiece[]): void {
    this.#state = 'header'
    this.#pieces = pieces
    this.#positions = []
  }

  #startContent(): void {
    const between = this.#state === 'between'
    this.#loose = ''
    this.#positions = []
    this.#begin(
      between
        ? { role: 'assistant', channel: 'final' }
        : parseHeader(this.#pieces, this.#functions),
    )
  }

  /** Ends whatever is open. */
  #finish(ending: Ending): void {
    if (this.#state === 'content') this.#close(ending)
    else if (this.#state === 'header') this.#finishHeader(ending)
    else if (!['', 'assistant'].includes(this.#loose.trim())) {
      this.#openLoose()
      this.#close(ending)
    }
    this.#loose = ''
    this.#state = 'between'
    this.#positions = []
  }

  /** A header that never came to its <|message|>: what it holds besides labels is the content. */
  #finishHeader(ending: Ending): void {
    const content = headerContent(this.#pieces, ending === 'cut')
    const header = parseHeader(this.#pieces, this.#functions)
    if (content === '' && !(header.recipient && ending === 'call')) return
    this.#begin(header)
    this.#open!.tokens = this.#positions.length
    if (content !== '') this.#delta(content)
    this.#close(ending)
  }

  #begin(header: Header): void {
    if (this.#orphan) this.#resolveOrphan('analysis')
    const unlabelled = header.channel === undefined && header.recipient === undefined
    const orphan = header.role === 'assistant' && unlabelled
    this.#open = { header, content: '', tokens: 0, orphan }
    this.#state = 'content'
    if (!orphan) this.#events.push({ type: 'open', header })
  }

  #delta(text: string): void {
    const open = this.#open!
    open.content += text
    if (open.orphan) return
    this.#events.push({ type: 'delta', text, positions: this.#positions })
    this.#positions = []
  }

  #close(ending: Ending): void {
    const open = this.#open!
    this.#open = undefined
    if (open.orphan) {
      this.#orphan = { open, ending, positions: this.#positions }
      return
    }
    const { header, content, tokens } = open
    this.#events.push({ type: 'close', message: toMessage(header, content), ending, tokens })
  }

  /** Thinking if more messages follow, the answer if none does. */
  #resolveOrphan(channel: 'analysis' | 'final'): void {
    const { open, ending, positions } = this.#orphan!
    this.#orphan = undefined
    if (open.content === '') return
    const header: Header = { ...open.header, channel }
    this.#events.push(
      { type: 'open', header },
      { type: 'delta', text: open.content, positions },
      { type: 'close', message: toMessage(header, open.content), ending, tokens: open.tokens },
    )
  }
}

/** True where the last bytes begin a character of UTF-8 that is not complete. */
function endsInside(tail: readonly number[]): boolean {
  const fromEnd = tail.toReversed().findIndex((byte) => (byte & 0xc0) !== 0x80)
  const lead = tail[tail.length - 1 - fromEnd]
  if (fromEnd === -1 || lead === undefined) return false
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1
  return lead < 0xf5 && fromEnd + 1 < length
}

function toMessage(header: Header, content: string): ParsedMessage {
  const message: ParsedMessage = { role: header.role, content }
  if (header.name !== undefined) message.name = header.name
  if (header.channel !== undefined) message.channel = header.channel
  if (header.recipient !== undefined) message.recipient = header.recipient
  if (header.content_type !== undefined) message.content_type = header.content_type
  return message
}

/** `switchyard parse`: the content delta after each id, and the messages. */
export function parseCommand(
  ids: readonly number[],
  vocabulary: Vocabulary,
): { deltas: string[]; messages: ParsedMessage[] } {
  const parser = new HarmonyParser(vocabulary)
  const messages: ParsedMessage[] = []
  const take = (events: ParserEvent[]) => {
    let text = ''
    for (const event of events) {
      if (event.type === 'delta') text += event.text
      if (event.type === 'close') messages.push(event.message)
    }
    return text
  }
  const deltas = ids.map((id) => take(parser.push(id)))
  const rest = take(parser.end())
  // What only the end revealed belongs to the last id, so that the deltas still add up.
  if (rest !== '') deltas.splice(-1, 1, (deltas.at(-1) ?? '') + rest)
  return { deltas, messages }
}
