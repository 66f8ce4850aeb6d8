// A stream of Responses events held to what was demanded of its answer. The JSON passes as it comes; what is in front of it is
// held back and dropped when JSON follows; the verdict stands before the terminal event. From the first strict call on, a turn
// is held to its end, as a call that a client has cannot be taken back. As long as the client has neither JSON nor call, a
// second turn can take the place of the first: its items follow those that the client has (reasoning), in one stream. What
// goes out has one author of sequence_number and output_index here.
import { sumUsage, usageFromResponses } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { JsonGate } from './json-gate.ts'
import { isAnswer } from './structured-answer.ts'
import {
  type Contract,
  type Fault,
  isCall,
  isFault,
  isStopped,
  judgeCalls,
  judgeGate,
  judgeText,
} from './structured-contract.ts'

type Json = Record<string, unknown>

/** Text in front of JSON, and calls, are held up to here. */
const maxHeld = 1_048_576

/** What a second turn has to mend. */
export interface Unfit {
  fault: Fault
  /** The items of the turn. */
  output: readonly unknown[]
  /** The model's words. */
  text: string
}

/** A message whose text is to be JSON. */
interface Gated {
  index: unknown
  gate: JsonGate
  /** Its events, until its text passes; then undefined. */
  held: Json[] | undefined
  /** It passes as it is: what follows decided so. */
  asIs: boolean
  /** What has passed of the open part. */
  part: string
  /** What has passed of the parts that are closed. */
  parts: string[]
}

export class StructuredEvents {
  readonly #contract: Contract
  /** What snapshots shall say of the request, where it was sent on in other words. */
  readonly #echo: Json
  /** Whether one more turn may be asked for. */
  #mayRepair = true
  #sequence = 0
  #usage: ResponseUsage | undefined
  /** The snapshot that the stream began with. */
  #first: Json | undefined
  /** Items that the client has, finished. */
  readonly #output: unknown[] = []
  #nextIndex = 0
  /** Set by the terminal event. */
  #ended = false
  #out: Json[] = []
  /** The response's announcement, until anything follows it. */
  #opening: Json[] = []

  // Of this turn.
  /** The upstream's output_index → the client's. */
  #indexes = new Map<unknown, number>()
  /** Items that are left out. */
  #dropped = new Set<unknown>()
  #message: Gated | undefined
  /** Events of earlier messages that were held and never became JSON. */
  #before: Json[] = []
  /** Events from the first call on. */
  #waiting: Json[] | undefined
  #heldChars = 0
  #items: unknown[] = []
  #refused = false
  #unfit: Unfit | undefined

  constructor(contract: Contract, echo: Json = {}) {
    this.#contract = contract
    this.#echo = echo
  }

  /** Nothing more will come. */
  get ended(): boolean {
    return this.#ended
  }

  /** Set when the turn has ended in an answer that does not fit and that the client has not seen. */
  get unfit(): Unfit | undefined {
    return this.#unfit
  }

  /** Another turn follows, the last one. */
  nextTurn(): void {
    this.#mayRepair = false
    this.#indexes = new Map()
    this.#dropped = new Set()
    this.#message = undefined
    this.#before = []
    this.#waiting = undefined
    this.#heldChars = 0
    this.#items = []
    this.#refused = false
    this.#unfit = undefined
  }

  /** Takes an event of the upstream, gives those that the client shall get. */
  push(event: unknown): Json[] {
    if (!isObject(event) || this.#ended || this.#unfit !== undefined) return []
    this.#out = []
    this.#take(event)
    return this.#out
  }

  #take(event: Json): void {
    switch (event.type) {
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        if (!this.#mayRepair) break
        // Told once, and with what follows: as long as nothing is said, another place may answer instead.
        this.#opening.push(this.#echoing(event))
        if (isObject(event.response)) this.#first ??= event.response
        break
      case 'response.completed':
        this.#complete(event)
        break
      case 'error':
      case 'response.failed':
        // Nothing told as yet: another place may answer instead.
        if (this.#nextIndex > 0) this.#release()
        this.#terminal(event)
        break
      case 'response.incomplete':
        this.#release()
        this.#terminal(event)
        break
      default:
        this.#onItem(event)
    }
  }

  // ---- items

  #onItem(event: Json): void {
    const { type, item, output_index: index } = event
    if (type === 'response.output_item.added') this.#opened(event)
    if (this.#dropped.has(index)) return
    if (type === 'response.output_item.done') this.#items.push(item)
    const message = this.#message
    if (this.#waiting !== undefined) this.#hold(this.#waiting, event)
    else if (message === undefined || message.asIs || message.index !== index) this.#emit(event)
    else {
      if (message.held !== undefined) this.#hold(message.held, event)
      if (!this.#ended) this.#onMessage(message, event)
    }
  }

  #opened({ item, output_index: index }: Json): void {
    const { format, calls } = this.#contract
    if (format !== undefined && isAnswer(item)) {
      if (this.#message?.gate.begun) {
        // What follows the JSON is left out, be it a message of its own.
        this.#dropped.add(index)
        return
      }
      for (const held of this.#message?.held ?? []) this.#before.push(held)
      const gate = new JsonGate(format.openers)
      this.#message = { index, gate, held: [], asIs: false, part: '', parts: [] }
    } else if (isCall(item)) {
      // What was said in front of a call is no answer; it waits with the call where that one waits.
      if (calls.size === 0) this.#release()
      else this.#waiting ??= this.#takeHeld()
    }
  }

  /** The event is held already where the message is. */
  #onMessage(message: Gated, event: Json): void {
    const { type, delta } = event
    if (type === 'response.output_text.delta' && typeof delta === 'string') {
      this.#onText(message, event, delta)
      return
    }
    if (type === 'response.refusal.delta') this.#refused = true
    if (message.held !== undefined) {
      if (this.#refused) this.#release()
      return
    }
    // It points into a text that the client has another one of.
    const astray = type === 'response.output_text.annotation.added' && message.gate.before !== ''
    if (!astray) this.#emit(cleaned(message, event))
  }

  #onText(message: Gated, event: Json, delta: string): void {
    const piece = message.gate.push(delta)
    if (piece === '') return
    message.part += piece
    if (message.held !== undefined) {
      const openings = message.held.filter(({ type }) => type !== 'response.output_text.delta')
      message.held = undefined
      this.#before = []
      for (const each of openings) this.#emit(each)
    }
    this.#emit(piece === delta ? event : { ...event, delta: piece, logprobs: [] })
  }

  #hold(held: Json[], event: Json): void {
    held.push(event)
    // Near enough: the deltas are nearly all of it.
    this.#heldChars += typeof event.delta === 'string' ? event.delta.length : 100
    if (this.#heldChars <= maxHeld) return
    const reason = `nothing of it can be passed on within ${maxHeld} characters`
    const message = `The model's answer does not have the format that was asked for: ${reason}.`
    this.#fail({ message, reason }, {})
  }

  /** What is held is what it is. */
  #release(): void {
    const events = [...this.#takeHeld(), ...(this.#waiting ?? [])]
    this.#waiting = undefined
    for (const event of events) this.#emit(event)
  }

  /** The events of messages that are held; the message passes as it is from now on. */
  #takeHeld(): Json[] {
    const events = this.#before
    this.#before = []
    const message = this.#message
    if (message?.held === undefined) return events
    for (const event of message.held) events.push(event)
    message.held = undefined
    message.asIs = true
    return events
  }

  // ---- ends

  #complete(event: Json): void {
    const response = isObject(event.response) ? event.response : {}
    const fault = this.#fault(response)
    if (fault === undefined) {
      this.#release()
      this.#terminal(event)
    } else if (this.#mayRepair && !this.#message?.gate.begun) {
      this.#usage = this.#summed(response)
      this.#unfit = { fault, output: this.#items, text: this.#message?.gate.before ?? '' }
    } else this.#fail(fault, response)
  }

  #fault(response: Json): Fault | undefined {
    const { format, calls } = this.#contract
    const badCall = judgeCalls(calls, this.#items)
    if (badCall !== undefined) return badCall
    if (format === undefined || this.#refused || this.#items.some(isCall)) return undefined
    const gate = this.#message?.gate
    const verdict = gate?.begun
      ? judgeGate(format.check, gate)
      : judgeText(format, gate?.before ?? '')
    return isFault(verdict) && !isStopped(response) ? verdict : undefined
  }

  #fail({ message }: Fault, response: Json): void {
    const told = this.#mayRepair ? message : `${message} So it was when it was asked again.`
    const error = new ApiError('structured_output_invalid', told)
    const { code, type, param } = error
    const nested = { type, code, message: told, param }
    this.#emit({ type: 'error', code, message: told, param, error: nested })
    const failed = { status: 'failed', completed_at: null, error: { code, message: told } }
    this.#terminal({ type: 'response.failed', response: { ...response, ...failed } })
  }

  #terminal(event: Json): void {
    this.#ended = event.type !== 'error'
    if (isObject(event.response)) this.#emit({ ...event, response: this.#snapshot(event.response) })
    else this.#emit(event)
  }

  #echoing(event: Json): Json {
    return isObject(event.response)
      ? { ...event, response: { ...event.response, ...this.#echo } }
      : event
  }

  /** The last snapshot: of one response, whatever it took. */
  #snapshot(last: Json): Json {
    const usage = this.#summed(last) ?? last.usage ?? null
    const { id, created_at } = this.#first ?? last
    // Some servers tell of their items in the last event alone.
    const told = this.#output.length > 0 || this.#items.length > 0
    const output = told ? this.#output : (last.output ?? [])
    return { ...this.#first, ...last, ...this.#echo, id, created_at, usage, output }
  }

  #summed(response: Json): ResponseUsage | undefined {
    const usage = usageFromResponses(response.usage)
    return usage === undefined ? this.#usage : sumUsage(this.#usage, usage)
  }

  /** The one place where events are numbered. */
  #emit(event: Json): void {
    const opening = this.#opening
    this.#opening = []
    for (const each of opening) this.#emit(each)
    const { type, output_index: given, item } = event
    if (type === 'response.output_item.added') this.#indexes.set(given, this.#nextIndex++)
    const output_index = this.#indexes.get(given) ?? given
    if (type === 'response.output_item.done') this.#output.push(item)
    const at = given === undefined ? {} : { output_index }
    this.#out.push({ ...event, sequence_number: this.#sequence++, ...at })
  }
}

/** The closing events of a message tell what has passed of it. */
function cleaned(message: Gated, event: Json): Json {
  const { type, text, part, item } = event
  if (type === 'response.output_text.done') {
    return text === message.part ? event : { ...event, text: message.part, logprobs: [] }
  }
  if (type === 'response.content_part.done' && isObject(part)) {
    const passed = message.part
    message.part = ''
    message.parts.push(passed)
    return part.text === passed ? event : { ...event, part: bare(part, passed) }
  }
  if (type !== 'response.output_item.done' || !isObject(item)) return event
  if (!Array.isArray(item.content)) return event
  const content = item.content.map((one: unknown, at) => {
    const passed = message.parts[at]
    return !isObject(one) || one.text === passed || passed === undefined ? one : bare(one, passed)
  })
  return { ...event, item: { ...item, content } }
}

function bare(part: Json, text: string): Json {
  return { ...part, text, annotations: [], logprobs: [] }
}
