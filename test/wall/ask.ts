// Asks a gateway and judges what came: by the order oracle, by the number of terminal events, and by what a client can tell.
import { checkOrder } from '../oracle/order.ts'

export type Api = 'responses' | 'chat'

/** What a client has in its hands at the end. */
export interface Verdict {
  status: number
  headers: Headers
  /** How it ended for the client; `refused`: an HTTP error. */
  end: 'completed' | 'incomplete' | 'failed' | 'refused'
  text: string
  calls: { name: string; arguments: string }[]
  /** The code of the error. */
  code: string | undefined
  model: unknown
  usage: unknown
  /** Breaches of the dialect's rules: none, whatever the upstream does. */
  complaints: string[]
  raw: string
}

export interface Question {
  api: Api
  stream: boolean
  model: string
  body?: Record<string, unknown>
  headers?: Record<string, string>
  signal?: AbortSignal
}

type Json = Record<string, unknown>
type Read = Omit<Verdict, 'status' | 'headers' | 'raw'>

/** A request's path and body. */
export function requestOf({ api, stream, model, body }: Question): { path: string; body: Json } {
  return api === 'responses'
    ? { path: '/v1/responses', body: { model, input: 'hi', stream, ...body } }
    : {
        path: '/v1/chat/completions',
        body: { model, messages: [{ role: 'user', content: 'hi' }], stream, ...body },
      }
}

/** Asks, reads to the end, and judges. */
export async function ask(url: string, question: Question): Promise<Verdict> {
  const { path, body } = requestOf(question)
  const response = await fetch(url + path, {
    method: 'POST',
    // A connection of its own: one that was idle for seconds may be closed just when it is used again.
    headers: { 'content-type': 'application/json', connection: 'close', ...question.headers },
    body: JSON.stringify(body),
    ...(question.signal ? { signal: question.signal } : {}),
  })
  const raw = await response.text()
  const { status, headers } = response
  return { status, headers, raw, ...judge(question, response, raw) }
}

function judge({ api, stream }: Question, response: Response, raw: string): Read {
  if (response.status !== 200) return refused(raw)
  if (!stream) {
    const json = JSON.parse(raw) as Json
    return api === 'responses' ? ofResponse(json, []) : ofCompletion(json)
  }
  const complaints: string[] = []
  const type = response.headers.get('content-type')
  if (type !== 'text/event-stream') complaints.push(`content-type is ${type}`)
  return api === 'responses' ? ofEvents(raw, complaints) : ofChunks(raw, complaints)
}

function refused(raw: string): Read {
  const { error } = JSON.parse(raw) as { error: Json }
  const complaints = ['message', 'type', 'param', 'code'].filter((key) => !(key in error))
  const code = typeof error.code === 'string' ? error.code : undefined
  return { end: 'refused', text: '', calls: [], code, model: null, usage: null, complaints }
}

/** By the letter of the format: any line end, a space after the colon or none. */
function datasOf(raw: string): string[] {
  return raw.split(/\r?\n\r?\n/).flatMap((block) => {
    const lines = block.split(/\r?\n/).filter((line) => line.startsWith('data:'))
    return lines.length === 0 ? [] : [lines.map((line) => line.slice(5).trimStart()).join('\n')]
  })
}

function ofEvents(raw: string, complaints: string[]): Read {
  const datas = datasOf(raw)
  if (datas.pop() !== '[DONE]') complaints.push('does not end with [DONE]')
  const events = datas.map((data) => JSON.parse(data) as Json)
  complaints.push(...checkOrder(events))
  const terminals = events.filter(({ type }) =>
    /^response\.(completed|incomplete|failed)$/.test(String(type)),
  )
  if (terminals.length !== 1) complaints.push(`has ${terminals.length} terminal events`)
  return ofResponse((terminals[0]?.response ?? {}) as Json, complaints)
}

function ofResponse(response: Json, complaints: string[]): Read {
  const output = (response.output ?? []) as Json[]
  const texts = output.flatMap(({ content }) => (content ?? []) as Json[])
  const error = (response.error ?? {}) as Json
  const { status } = response
  const end = status === 'completed' || status === 'incomplete' ? status : 'failed'
  return {
    end,
    text: texts.map(({ type, text }) => (type === 'output_text' ? String(text) : '')).join(''),
    calls: output
      .filter(({ type }) => type === 'function_call')
      .map((call) => ({ name: String(call.name), arguments: String(call.arguments) })),
    code: typeof error.code === 'string' ? error.code : undefined,
    model: response.model,
    usage: response.usage,
    complaints,
  }
}

function ofChunks(raw: string, complaints: string[]): Read {
  const datas = datasOf(raw)
  const isDone = datas.at(-1) === '[DONE]'
  if (isDone) datas.pop()
  if (datas.includes('[DONE]')) complaints.push('says [DONE] before its end')
  const chunks = datas.map((data) => JSON.parse(data) as Json)
  const errors = chunks.filter((each) => each.error !== undefined)
  if (errors.length + (isDone ? 1 : 0) !== 1) {
    complaints.push(`has ${errors.length} errors and ${isDone ? 'a' : 'no'} [DONE]`)
  }
  if (errors.length > 0 && chunks.at(-1) !== errors[0]) complaints.push('goes on after its error')
  if (new Set(chunks.filter(({ id }) => id !== undefined).map(({ id }) => id)).size > 1) {
    complaints.push('changes its id')
  }
  const choices = chunks.flatMap((each) => (each.choices ?? []) as Json[])
  const finishes = choices.map((choice) => choice.finish_reason).filter((finish) => finish != null)
  if (isDone && finishes.length === 0) complaints.push('says [DONE] without a finish_reason')
  const error = (errors[0]?.error ?? {}) as Json
  const calls = new Map<unknown, { name: string; arguments: string }>()
  for (const choice of choices) {
    const delta = (choice.delta ?? {}) as Json
    for (const call of (delta.tool_calls ?? []) as Json[]) addCall(calls, call)
  }
  const model = chunks.find((each) => each.model !== undefined)?.model
  return {
    end: !isDone ? 'failed' : endOf(finishes[0]),
    text: choices.map(({ delta }) => String((delta as Json | undefined)?.content ?? '')).join(''),
    calls: [...calls.values()],
    code: error.code == null ? undefined : String(error.code),
    model,
    usage: chunks.findLast((each) => each.usage != null)?.usage ?? null,
    complaints,
  }
}

function addCall(calls: Map<unknown, { name: string; arguments: string }>, call: Json): void {
  const known = calls.get(call.index) ?? { name: '', arguments: '' }
  const { name, arguments: args } = (call.function ?? {}) as Json
  calls.set(call.index, {
    name: known.name + String(name ?? ''),
    arguments: known.arguments + String(args ?? ''),
  })
}

function ofCompletion(json: Json): Read {
  const [choice] = (json.choices ?? []) as Json[]
  const message = (choice?.message ?? {}) as Json
  const calls = ((message.tool_calls ?? []) as Json[]).map((call) => call.function as Json)
  return {
    end: endOf(choice?.finish_reason),
    text: String(message.content ?? ''),
    calls: calls.map((call) => ({ name: String(call.name), arguments: String(call.arguments) })),
    code: undefined,
    model: json.model,
    usage: json.usage ?? null,
    complaints: choice === undefined ? ['has no choice'] : [],
  }
}

function endOf(finish: unknown): 'completed' | 'incomplete' | 'failed' {
  if (finish === 'length' || finish === 'content_filter') return 'incomplete'
  return typeof finish === 'string' ? 'completed' : 'failed'
}
