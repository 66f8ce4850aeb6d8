// What the tools of one response may take: 120 s of waiting for them, 128 calls or `max_tool_calls`, 4 Mi characters of
// results and as many of what is called with, three times the same call.
import type { Json, RunEnd } from './runner.ts'

const maxToolMs = 120_000
const maxSame = 3
const maxCalls = 128
/** Of all results together, in UTF-16 units: each turn is sent what came before. */
const maxResults = 4 * 1024 * 1024
/** Of what all calls are made with: it is written down before they are, and again in their items. */
const maxTexts = 4 * 1024 * 1024

export class LoopBudget {
  readonly #maxToolCalls: number
  readonly #now: () => number
  #calls = 0
  #toolMs = 0
  #results = 0
  #texts = 0
  readonly #same = new Map<string, number>()

  /** `maxToolCalls` is the client's; `now` gives milliseconds. */
  constructor(maxToolCalls: number | null | undefined, now: () => number) {
    this.#maxToolCalls = maxToolCalls ?? Number.POSITIVE_INFINITY
    this.#now = now
  }

  get timeIsOver(): boolean {
    return this.#toolMs > maxToolMs
  }

  /** Tools were waited for since then. */
  waited(since: number): void {
    this.#toolMs += this.#now() - since
  }

  /** A call has given this. */
  took({ output = '', annotations = [] }: RunEnd): void {
    this.#results += annotations.reduce(
      (sum, each) => sum + JSON.stringify(each).length,
      output.length,
    )
  }

  /** Why a call that the client has allowed cannot run any more; undefined: it runs, and counts. */
  refuseAllowed(): string | undefined {
    const reason = this.#full(undefined)
    if (reason === undefined) this.#calls++
    return reason
  }

  /** Why one more call of the model is too many; undefined: it runs, and counts. `began`: when this turn's calls did. */
  refuse({ namespace, name }: Json, text: string, began: number): string | undefined {
    const full = this.#full(began)
    if (full !== undefined) return full
    if (this.#calls >= this.#maxToolCalls) {
      return `No more than ${this.#maxToolCalls} tool calls are allowed here. Answer with what you have.`
    }
    this.#texts += text.length
    if (this.#texts > maxTexts)
      return 'The arguments of tool calls fill what one response can hold.'
    const key = JSON.stringify([namespace, name, text])
    const times = (this.#same.get(key) ?? 0) + 1
    this.#same.set(key, times)
    if (times > maxSame) return 'The same call was made three times already; it gives nothing new.'
    this.#calls++
    return undefined
  }

  /** Why nothing more runs in this response, whatever it is. */
  #full(since: number | undefined): string | undefined {
    if (this.#calls >= maxCalls) {
      return `No more than ${maxCalls} tool calls are made for one response.`
    }
    return this.spent(since)
  }

  /** Why a call that was let run cannot any more: those before it took all that was left. `since`: when this turn's calls began. */
  spent(since: number | undefined): string | undefined {
    if (this.#results > maxResults) return 'The results of tools fill what one response can hold.'
    const ms = this.#toolMs + (since === undefined ? 0 : this.#now() - since)
    return ms > maxToolMs ? 'The time for tools in this response is over.' : undefined
  }
}
