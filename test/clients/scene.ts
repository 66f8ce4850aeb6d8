// What the clients' tests share: the gateway in workerd behind the launcher's relay, as `npm start` has it, and a provider
// behind it whose answers are written down. A test says what the model answers, turn by turn, and reads what it was asked.
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { type Relay, startRelay } from '../../native-node/cli/relay.ts'
import { freePort } from '../e2e/up.ts'
import { startGateway, type TestGateway } from '../gateway/harness.ts'
import { chunk, json, sse, startUpstream, type TestUpstream } from '../gateway/upstream.ts'

/** One answer of the model. */
export interface Answer {
  reasoning?: string
  text?: string
  calls?: { name: string; arguments: Record<string, unknown>; id?: string }[]
  finish?: 'stop' | 'length'
  /** The upstream refuses instead. */
  status?: number
  /** The connection breaks after the text, or stays open without another word. */
  after?: 'break' | 'silence'
}

export interface Scene {
  /** `http://127.0.0.1:PORT/v1` */
  baseURL: string
  /** What the model answers, one for each time it is asked. */
  answers(...answers: Answer[]): void
  /** The bodies that the model was asked with. */
  asked(): Chat[]
  /** Resolves with true when the request to the model was given up. */
  abandoned(): Promise<boolean>
}

export interface Chat {
  messages: { role: string; content: unknown; [field: string]: unknown }[]
  [field: string]: unknown
}

export const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }
/** The model's public id. */
export const model = 'acme/model'

/** Starts both for the tests of a file. */
export function scene(): Scene {
  let upstream: TestUpstream
  let gateway: TestGateway
  let relay: Relay
  let baseURL: string
  let waiting: Answer[] = []
  beforeAll(async () => {
    upstream = await startUpstream()
    gateway = await startGateway({
      config: {
        providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: { [model]: 'model' } } },
      },
    })
    const port = await freePort()
    relay = await startRelay('127.0.0.1', port, gateway.port)
    baseURL = `http://127.0.0.1:${port}/v1`
  })
  beforeEach(() => {
    waiting = []
    upstream.reply((response, { body }) => {
      const answer = waiting.shift() ?? { status: 500 }
      if (answer.status !== undefined) {
        const error = { message: 'The model is not in the mood.', type: 'whatever' }
        return json(response, answer.status, { error })
      }
      if (body.stream !== true) return json(response, 200, completionOf(answer))
      if (answer.after === undefined) return sse(response, ...chunksOf(answer))
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const piece of chunksOf(answer).slice(0, -3)) response.write(piece)
      if (answer.after === 'break') setTimeout(() => response.destroy(), 5)
    })
  })
  afterAll(async () => {
    await relay.close()
    await gateway.stop()
    await upstream.stop()
  })
  return {
    get baseURL() {
      return baseURL
    },
    answers(...answers) {
      waiting = answers
      upstream.requests = []
    },
    asked: () => upstream.requests.map(({ body }) => body as unknown as Chat),
    abandoned: async () => (await upstream.nextRequest()).ended,
  }
}

function toolCalls({ calls = [] }: Answer) {
  return calls.map(({ id, name, arguments: args }, index) => ({
    index,
    id: id ?? `call_${name}_${index}`,
    type: 'function',
    function: { name, arguments: JSON.stringify(args) },
  }))
}

function finishOf({ calls = [], finish }: Answer): string {
  return finish ?? (calls.length > 0 ? 'tool_calls' : 'stop')
}

function completionOf(answer: Answer) {
  const tool_calls = toolCalls(answer).map(({ index: _, ...call }) => call)
  const message = {
    role: 'assistant',
    content: answer.text ?? null,
    ...(answer.reasoning === undefined ? {} : { reasoning: answer.reasoning }),
    ...(tool_calls.length === 0 ? {} : { tool_calls }),
  }
  return {
    id: 'c1',
    object: 'chat.completion',
    created: 1,
    model: 'model',
    choices: [{ index: 0, message, finish_reason: finishOf(answer) }],
    usage,
  }
}

/** Words one by one, as a model says them; a call's arguments in two pieces. */
function chunksOf(answer: Answer): string[] {
  const words = (text = '') => text.match(/\s*\S+/g) ?? []
  const last = { id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [] }
  return [
    chunk({ role: 'assistant', content: '' }),
    ...words(answer.reasoning).map((reasoning) => chunk({ reasoning })),
    ...words(answer.text).map((content) => chunk({ content })),
    ...toolCalls(answer).flatMap((call) => {
      const { name, arguments: args } = call.function
      const half = Math.ceil(args.length / 2)
      const first = { ...call, function: { name, arguments: args.slice(0, half) } }
      const rest = { index: call.index, function: { arguments: args.slice(half) } }
      return [chunk({ tool_calls: [first] }), chunk({ tool_calls: [rest] })]
    }),
    chunk({}, finishOf(answer)),
    `data: ${JSON.stringify({ ...last, usage })}\n\n`,
    'data: [DONE]\n\n',
  ]
}

/** `role: text` of what the model was asked, tool calls by their names. */
export function said(chat: Chat | undefined): string[] {
  return (chat?.messages ?? []).map(({ role, content, tool_calls }) => {
    const calls = (tool_calls as { function: { name: string; arguments: string } }[] | undefined)
      ?.map(({ function: { name, arguments: args } }) => `${name}(${args})`)
      .join(' ')
    return `${role}: ${calls ?? (typeof content === 'string' ? content : JSON.stringify(content))}`
  })
}

/** A JSON schema, as open as the clients' types want it. */
type Schema = Record<string, unknown>

export const weather = {
  name: 'get_weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  } as Schema,
}

export const event = { name: 'Science fair', participants: ['Alice', 'Bob'] }
export const eventSchema: Schema = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    participants: { type: 'array', items: { type: 'string' } },
  },
  required: ['name', 'participants'],
  additionalProperties: false,
}

/** A picture of one pixel. */
export const picture =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
