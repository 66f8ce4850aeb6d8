// A whole answer against what was demanded: it is as it should be, is so without what stands around its JSON, or is not.
import { isObject } from '../protocol/check.ts'
import { JsonGate } from './json-gate.ts'
import {
  type Contract,
  type Fault,
  type FormatDemand,
  isCall,
  isFault,
  isStopped,
  judgeCalls,
  judgeText,
} from './structured-contract.ts'

type Json = Record<string, unknown>

export interface JudgedAnswer {
  /** As the client shall get it. */
  response: Json
  /** What is wrong with it. */
  fault: Fault | undefined
  /** Nobody can say whether it is right. */
  unchecked: boolean
  /** The model's words. */
  text: string
}

/** Judges a Responses object. Only what has been completed is judged. */
export function judgeAnswer({ format, calls }: Contract, response: Json): JudgedAnswer {
  const output: unknown[] = Array.isArray(response.output) ? response.output : []
  const fine = { response, fault: undefined, unchecked: false, text: '' }
  if (response.status !== undefined && response.status !== 'completed') return fine
  const badCalls = judgeCalls(calls, output)
  if (badCalls !== undefined) return { ...fine, fault: badCalls }
  if (format === undefined || output.some(isRefusal)) return fine
  if (!output.some(isCall)) return judgeMessage(format, response, output)
  // What is said beside a call need not fit; where it is JSON, it is told as it would be streamed.
  const gate = new JsonGate(format.openers)
  gate.push(textOf(output.find(isAnswer)))
  return gate.begun ? { ...fine, response: withAnswer(response, output, gate.value) } : fine
}

function judgeMessage(format: FormatDemand, response: Json, output: unknown[]): JudgedAnswer {
  const at = output.map(isAnswer).lastIndexOf(true)
  const text = textOf(output[at])
  const verdict = judgeText(format, text)
  if (isFault(verdict)) {
    return { response, fault: isStopped(response) ? undefined : verdict, unchecked: false, text }
  }
  const unchecked = verdict.unchecked === true
  if (verdict.text === text) return { response, fault: undefined, unchecked, text }
  return {
    response: withAnswer(response, output, verdict.text),
    fault: undefined,
    unchecked,
    text,
  }
}

function withAnswer(response: Json, output: unknown[], text: string): Json {
  const at = output.map(isAnswer).lastIndexOf(true)
  const items = output.map((item, index) => (index === at ? withText(item, text) : item))
  return { ...response, output: items }
}

/** True for a message that the model means as its answer. */
export function isAnswer(item: unknown): boolean {
  return isObject(item) && item.type === 'message' && item.phase !== 'commentary'
}

function isRefusal(item: unknown): boolean {
  return isObject(item) && partsOf(item).some(({ type }) => type === 'refusal')
}

function textOf(item: unknown): string {
  if (!isObject(item)) return ''
  return partsOf(item)
    .map(({ text }) => (typeof text === 'string' ? text : ''))
    .join('')
}

/** One part in place of all: what was around the JSON is gone, and what pointed into it. */
function withText(item: unknown, text: string): unknown {
  if (!isObject(item)) return item
  const first = partsOf(item).find(({ type }) => type === 'output_text')
  return { ...item, content: [{ ...first, text, annotations: [], logprobs: [] }] }
}

function partsOf({ content }: Json): Json[] {
  return Array.isArray(content) ? content.filter(isObject) : []
}
