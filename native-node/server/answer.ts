// Generated tokens of one request → Responses events: harmony messages become reasoning, text and calls.
// Pure: the responder pumps steps in and events out.
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import type { Logprob, ResponsesRequest, ResponseUsage } from '../../src/protocol/responses.ts'
import type { ResponseWriter } from '../../src/stream/writer.ts'
import type { NativeTokenLogprob } from './binding.ts'
import { type BuiltInTools, CodeArguments } from './built-in-tools.ts'
import { CallArguments } from './call-arguments.ts'
import type { FunctionNames } from './function-names.ts'
import type { Header } from './harmony-header.ts'
import { type Ending, HarmonyParser, type ParserEvent } from './harmony-parse.ts'
import { offeredTools } from './harmony-request.ts'
import { tokenLogprob } from './logprobs.ts'
import type { OutputContract } from './output-contract.ts'
import { PredictionUse } from './prediction.ts'
import type { GenerationStep } from './sequence.ts'
import { StopStrings } from './stop-strings.ts'
import type { Vocabulary } from './vocabulary.ts'

export interface AnswerOptions {
  request: ResponsesRequest
  writer: ResponseWriter
  vocabulary: Vocabulary
  names: FunctionNames
  builtIns: BuiltInTools
  contract: OutputContract
  /** The ids of the request's prediction, where it has one. */
  predicted?: readonly number[] | undefined
  /** Makes a call_id. */
  newCallId: () => string
}

/**
 * `stray`: a call of a tool that nobody declared (gpt-oss was trained with a browser and Python). Nobody can run it, so
 * its text is shown as thinking, never as a call.
 */
type Kind = 'reasoning' | 'preamble' | 'answer' | 'call' | 'stray'

/** The message that is being read. */
interface Open {
  kind: Kind
  /** Set for calls. */
  callId: string
  arguments: CallArguments | CodeArguments
}

export class Answer {
  readonly #options: AnswerOptions
  readonly #wantsLogprobs: boolean
  readonly #stops: StopStrings
  /** Set when a stop string is hit: which. */
  #stopSequence: string | undefined

  #parser: HarmonyParser
  #open: Open | undefined
  /** Logprobs of this round's tokens, by the parser's position; only when asked for. */
  #logprobs: { id: number; native: NativeTokenLogprob }[] = []
  /** Position of the next token in this round. */
  #position = 0
  /** Pieces of the answer whose text the stop strings still hold, with the tokens behind them. */
  #pieces: { length: number; positions: number[] }[] = []
  /** What was written last: two messages of one kind in a row share an item and need a blank line between. */
  #lastKind: Kind | undefined
  /** Set when a message ends and the next one of the same kind must be set off. */
  #separate = false
  /** Text of the final answer, for the checks at the end. */
  #text = ''
  #calls: { name: string; arguments: string }[] = []
  /** Set once nothing that follows counts: a stop string was hit or a call is complete. */
  #done = false
  #stray: string | undefined
  #promptTokens = 0
  #cachedTokens = 0
  #outputTokens = 0
  #reasoningTokens = 0
  readonly #predicted: PredictionUse

  constructor(options: AnswerOptions) {
    this.#options = options
    const { stop } = options.request
    this.#stops = new StopStrings(typeof stop === 'string' ? [stop] : (stop ?? []))
    this.#wantsLogprobs = wantsLogprobs(options.request)
    this.#parser = this.#newParser()
    this.#predicted = new PredictionUse(options.predicted)
  }

  /** True when the rest of the generation is of no use. */
  get done(): boolean {
    return this.#done
  }

  /** The recipient of a call that nobody can answer, when the generation ended with one. */
  get strayCall(): string | undefined {
    return this.#stray
  }

  get outputTokens(): number {
    return this.#outputTokens
  }

  get usage(): ResponseUsage {
    return this.#predicted.addTo({
      input_tokens: this.#promptTokens,
      input_tokens_details: { cached_tokens: this.#cachedTokens, cache_write_tokens: 0 },
      output_tokens: this.#outputTokens,
      output_tokens_details: { reasoning_tokens: this.#reasoningTokens },
      total_tokens: this.#promptTokens + this.#outputTokens,
    })
  }

  push(step: GenerationStep): ResponsesEvent[] {
    if (this.#outputTokens === 0) {
      this.#promptTokens = step.promptTokens
      this.#cachedTokens = step.cachedTokens
    }
    this.#predicted.push(step)
    const events: ResponsesEvent[] = []
    for (let index = 0; index < step.ids.length && !this.#done; index++) {
      const id = step.ids[index]!
      this.#outputTokens++
      const native = step.logprobs?.[index]
      if (native && this.#wantsLogprobs) this.#logprobs[this.#position] = { id, native }
      this.#position++
      for (const event of this.#parser.push(id)) events.push(...this.#take(event))
    }
    return events
  }

  /** The generation goes on behind a new `<|start|>assistant`. */
  resume(): ResponsesEvent[] {
    const events = this.#parser.end().flatMap((event) => this.#take(event))
    this.#predicted.resume()
    this.#stray = undefined
    this.#logprobs = []
    this.#position = 0
    this.#parser = this.#newParser()
    return events
  }

  /** Closes everything; the last event is the response's terminal one. */
  end(finish: 'stop' | 'length'): ResponsesEvent[] {
    const { writer, contract } = this.#options
    const events = this.#parser.end().flatMap((event) => this.#take(event))
    if (finish === 'length' && !this.#done) {
      return [...events, ...writer.complete({ usage: this.usage, finish: 'length' })]
    }
    const stopSequence = this.#stopSequence
    const isStopped = stopSequence !== undefined
    const unmet = contract({ text: this.#text, isStopped, calls: this.#calls })
    if (unmet) return [...events, ...writer.fail(unmet, this.usage)]
    const reason = this.#calls.length > 0 ? 'tool_calls' : 'stop'
    return [...events, ...writer.complete({ usage: this.usage, finish: reason, stopSequence })]
  }

  #newParser(): HarmonyParser {
    const { vocabulary, names, builtIns, request } = this.#options
    const offered = offeredTools(request).flatMap(({ tool }) => builtIns.recipient(tool.name) ?? [])
    return new HarmonyParser(vocabulary, { functions: new Set([...names.shown, ...offered]) })
  }

  #take(event: ParserEvent): ResponsesEvent[] {
    if (this.#done) return []
    switch (event.type) {
      case 'open':
        return this.#begin(event.header)
      case 'delta':
        return this.#delta(event.text, event.positions)
      case 'close':
        return this.#close(event.ending, event.tokens, event.message.recipient)
    }
  }

  #begin(header: Header): ResponsesEvent[] {
    const name = this.#calledName(header)
    const kind = kindOf(header, name)
    const callId = kind === 'call' ? this.#options.newCallId() : ''
    const code = name !== undefined && this.#options.builtIns.takesCode(name)
    this.#open = { kind, callId, arguments: code ? new CodeArguments() : new CallArguments() }
    this.#separate = sink(kind) === sink(this.#lastKind) && kind !== 'answer'
    this.#lastKind = kind
    if (kind !== 'call' || name === undefined) return []
    this.#calls.push({ name, arguments: '' })
    return this.#options.writer.openCall({ call_id: callId, name })
  }

  /** The function that a message calls, as the request has it. */
  #calledName(header: Header): string | undefined {
    const { recipient } = header
    if (header.role !== 'assistant' || !recipient?.startsWith('functions.')) return undefined
    // The parser has put this before the names that it was given, those of the built-in tools among them.
    const called = recipient.slice('functions.'.length)
    const { builtIns, names } = this.#options
    return builtIns.functionOf(called) ?? names.original(called)
  }

  #delta(text: string, positions: number[]): ResponsesEvent[] {
    const { writer } = this.#options
    const open = this.#open!
    switch (open.kind) {
      case 'answer': {
        this.#pieces.push({ length: text.length, positions })
        const stopped = this.#stops.push(text)
        const events = this.#show(stopped.text)
        if (stopped.hit !== undefined) this.#done = true
        this.#stopSequence ??= stopped.hit
        return events
      }
      case 'preamble':
        return writer.text(this.#set(text), { phase: 'commentary' })
      case 'call':
        return writer.callArguments(open.callId, open.arguments.push(text))
      default:
        return writer.reasoning(this.#set(text))
    }
  }

  #close(ending: Ending, tokens: number, recipient: string | undefined): ResponsesEvent[] {
    const open = this.#open!
    this.#open = undefined
    switch (open.kind) {
      case 'answer':
        return this.#show(this.#stops.end())
      case 'reasoning':
        this.#reasoningTokens += tokens
        return []
      case 'stray':
        this.#reasoningTokens += tokens
        if (ending === 'call') this.#stray = recipient
        return []
      case 'call':
        return this.#closeCall(open, ending)
      default:
        return []
    }
  }

  #closeCall(open: Open, ending: Ending): ResponsesEvent[] {
    // Cut inside its arguments, the call stays open: the end of the response marks it incomplete.
    if (open.arguments instanceof CodeArguments)
      return this.#closeCode(open.callId, open.arguments, ending)
    if (ending === 'cut' && !open.arguments.complete) return []
    this.#done = true
    const { writer } = this.#options
    const { callId } = open
    // A function without parameters is often called with nothing at all, which no client can parse.
    const events = open.arguments.text === '' ? writer.callArguments(callId, '{}') : []
    this.#calls.at(-1)!.arguments = open.arguments.text || '{}'
    return [...events, ...writer.closeCall(callId)]
  }

  /** Nothing in code says that it is whole: cut, the call stays open with what there is of it. */
  #closeCode(callId: string, code: CodeArguments, ending: Ending): ResponsesEvent[] {
    const { writer } = this.#options
    const events = writer.callArguments(callId, code.end())
    this.#calls.at(-1)!.arguments = code.text
    if (ending === 'cut') return events
    this.#done = true
    return [...events, ...writer.closeCall(callId)]
  }

  /** Answer text that no stop string can take back any more. */
  #show(text: string): ResponsesEvent[] {
    if (text === '') return []
    this.#text += text
    const logprobs = this.#takeLogprobs(text.length)
    return this.#options.writer.text(text, { phase: 'final_answer', logprobs })
  }

  /** Logprobs of the tokens behind the next `length` characters of the answer. */
  #takeLogprobs(length: number): Logprob[] {
    const logprobs: Logprob[] = []
    let left = length
    while (left > 0 && this.#pieces.length > 0) {
      const piece = this.#pieces[0]!
      for (const position of piece.positions) {
        const token = this.#logprobs[position]
        if (token) logprobs.push(tokenLogprob(token.id, token.native, this.#options.vocabulary))
      }
      piece.positions = []
      const taken = Math.min(left, piece.length)
      piece.length -= taken
      left -= taken
      if (piece.length === 0) this.#pieces.shift()
    }
    return logprobs
  }

  /** Sets a message off from the one before it in the same item. */
  #set(text: string): string {
    const out = this.#separate ? `\n\n${text}` : text
    this.#separate = false
    return out
  }
}

function kindOf(header: Header, name: string | undefined): Kind {
  // A turn that the model made up for somebody else is no part of the answer.
  if (header.role !== 'assistant') return 'reasoning'
  if (name !== undefined) return 'call'
  if (header.recipient !== undefined) return 'stray'
  if (header.channel === 'final') return 'answer'
  return header.channel === 'commentary' ? 'preamble' : 'reasoning'
}

function sink(kind: Kind | undefined): Kind | undefined {
  return kind === 'stray' ? 'reasoning' : kind
}

/** True when the client asked for logprobs in either way that the API knows. */
export function wantsLogprobs(request: ResponsesRequest): boolean {
  return (
    (request.top_logprobs ?? 0) > 0 ||
    (request.include ?? []).includes('message.output_text.logprobs')
  )
}
