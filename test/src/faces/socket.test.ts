// The rules of a Responses socket, on a wire that only writes down what is sent.
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ApiError } from '../../../src/errors.ts'
import type { UpstreamCall } from '../../../src/faces/deps.ts'
import { ResponsesSocket } from '../../../src/faces/socket.ts'
import type { History, Json, Turn, TurnStore } from '../../../src/store/store.ts'
import { checkOrder } from '../../oracle/order.ts'
import { chunk, sse } from '../support.ts'
import { candidate, type Host, host, json, type Script, streamed } from '../upstream.ts'

type Message = { type: string; [key: string]: unknown }

/** An answer of that text. */
const says =
  (text: string): Script =>
  () =>
    streamed([whole(text)])
const whole = (text: string) =>
  sse([chunk({ role: 'assistant', content: text }), chunk({}, 'stop'), '[DONE]'])

/** Patient: the machine may have other things to do. */
const until = (holds: () => boolean) => vi.waitUntil(holds, { timeout: 20_000, interval: 1 })

/** Answers once it is let go, and says when it is asked. */
function held(text = 'held') {
  const releases: (() => void)[] = []
  const asked: UpstreamCall[] = []
  const script: Script = async (call) => {
    asked.push(call)
    await new Promise<void>((resolve, reject) => {
      releases.push(resolve)
      call.signal.addEventListener('abort', () => reject(call.signal.reason))
    })
    return streamed([whole(text)])
  }
  const release = () => {
    for (const each of releases.splice(0)) each()
  }
  return { script, asked, release }
}

interface Fixture extends Host {
  socket: ResponsesSocket
  sent: UpstreamCall[]
  messages: Message[]
  closes: [number, string][]
  create(fields: Json): void
  /** The messages of the next answer in that lane, or its error envelope. */
  answer(lane?: string): Promise<Message[]>
}

/** A socket on a host whose only place answers so; no place has a model of the name `none`. */
function open(script: Script, overrides: Partial<Host['deps']> = {}): Fixture {
  const scripted = host([candidate(), script])
  const plan: Host['deps']['plan'] = async (context) =>
    context.model === 'none' ? refuse('model_not_found') : scripted.deps.plan(context)
  const messages: Message[] = []
  const closes: [number, string][] = []
  const taken = new Set<Message>()
  const socket = new ResponsesSocket({
    wire: {
      send(text) {
        messages.push(JSON.parse(text))
        return undefined
      },
      close: (code, reason) => closes.push([code, reason]),
    },
    deps: { ...scripted.deps, plan, ...overrides },
  })
  const isEnd = ({ type, status }: Message) =>
    /^response\.(?:completed|incomplete|failed)$/.test(type) ||
    (type === 'error' && status !== undefined)
  return {
    ...scripted,
    socket,
    messages,
    closes,
    create: (fields) =>
      socket.receive(JSON.stringify({ type: 'response.create', model: 'm', ...fields })),
    async answer(lane) {
      for (;;) {
        const own = messages.filter((each) => each.stream_id === lane && !taken.has(each))
        const end = own.findIndex(isEnd)
        if (end !== -1) {
          const answer = own.slice(0, end + 1)
          for (const each of answer) taken.add(each)
          return answer
        }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    },
  }
}

const responseOf = (answer: Message[]) => {
  expect(checkOrder(answer)).toEqual([])
  return answer.at(-1)?.response as Json & { id: string }
}
const codeOf = ([error, ...rest]: Message[]) =>
  rest.length === 0 ? (error?.error as { code?: string } | undefined)?.code : undefined
function refuse(code: 'model_not_found'): never {
  throw new ApiError(code, 'There is no such model.')
}
/** The conversation that a call carried, as `role: text`. */
function said(call: UpstreamCall | undefined): string[] {
  const messages = (call?.body.messages ?? []) as { role: string; content: string }[]
  return messages.map(({ role, content }) => `${role}: ${content}`)
}

describe('continuation from memory', () => {
  it('sends what was said before, and takes only what is new', async () => {
    const { create, answer, sent } = open(says('four'))
    create({ input: 'two and two?', store: false })
    const first = responseOf(await answer())
    create({ input: 'plus one?', store: false, previous_response_id: first.id })
    const second = responseOf(await answer())
    expect(said(sent[1])).toEqual(['user: two and two?', 'assistant: four', 'user: plus one?'])
    expect(second.previous_response_id).toBe(first.id)
    create({ input: 'and again?', store: false, previous_response_id: second.id })
    await answer()
    expect(said(sent[2])).toHaveLength(5)
  })

  it('knows the latest response alone, and none of another connection', async () => {
    const one = open(says('yes'))
    one.create({ input: 'a', store: false })
    const first = responseOf(await one.answer())
    one.create({ input: 'b', store: false })
    await one.answer()
    one.create({ input: 'c', store: false, previous_response_id: first.id })
    expect(codeOf(await one.answer())).toBe('previous_response_not_found')
    const other = open(says('yes'))
    other.create({ input: 'c', store: false, previous_response_id: first.id })
    const [error] = await other.answer()
    expect(error).toMatchObject({
      status: 404,
      error: { code: 'previous_response_not_found', param: 'previous_response_id' },
    })
    expect(other.sent).toEqual([])
  })

  it.each<[string, Json]>([
    ['a field that is refused', { temperature: 9 }],
    ['a message that is refused', { background: true }],
    ['a place that is refused', { model: 'none' }],
  ])('is over after a failure: %s', async (_, fault) => {
    const { create, answer } = open(says('yes'))
    create({ input: 'a', store: false })
    const { id } = responseOf(await answer())
    create({ input: 'b', store: false, previous_response_id: id, ...fault })
    expect(codeOf(await answer())).toBeDefined()
    create({ input: 'b', store: false, previous_response_id: id })
    expect(codeOf(await answer())).toBe('previous_response_not_found')
  })

  it('goes on after an answer that was cancelled', async () => {
    const { script, asked, release } = held()
    let calls = 0
    const { create, answer, socket } = open((call) =>
      ++calls === 2 ? script(call) : says('yes')(call),
    )
    create({ input: 'a', store: false })
    const { id } = responseOf(await answer())
    create({ input: 'b', store: false, previous_response_id: id })
    await until(() => asked.length === 1)
    socket.receive('{"type":"response.cancel"}')
    expect(codeOf(await answer())).toBe('response_cancelled')
    release()
    create({ input: 'c', store: false, previous_response_id: id })
    expect(responseOf(await answer()).status).toBe('completed')
  })

  it('is over after an answer that failed', async () => {
    let calls = 0
    const cut = sse([chunk({ role: 'assistant', content: 'ha' })])
    const { create, answer } = open((call) => (++calls === 2 ? streamed([cut]) : says('yes')(call)))
    create({ input: 'a', store: false })
    const { id } = responseOf(await answer())
    create({ input: 'b', store: false, previous_response_id: id })
    expect(responseOf(await answer()).status).toBe('failed')
    create({ input: 'b', store: false, previous_response_id: id })
    expect(codeOf(await answer())).toBe('previous_response_not_found')
  })

  it('forks into another lane, whose failure leaves the parent', async () => {
    const { create, answer, sent } = open(says('yes'))
    create({ input: 'a', store: false, stream_id: 'main' })
    const { id } = responseOf(await answer('main'))
    const fork = { stream_id: 'critic', store: false, previous_response_id: id }
    create({ input: 'bad', temperature: 9, ...fork })
    expect(codeOf(await answer('critic'))).toBe('invalid_value')
    create({ input: 'good', ...fork })
    expect(responseOf(await answer('critic')).status).toBe('completed')
    create({ input: 'b', stream_id: 'main', store: false, previous_response_id: id })
    expect(responseOf(await answer('main')).status).toBe('completed')
    expect(said(sent[1])).toEqual(['user: a', 'assistant: yes', 'user: good'])
    expect(said(sent[2])).toEqual(['user: a', 'assistant: yes', 'user: b'])
  })

  it('resolves references to items of the conversation', async () => {
    const { create, answer, sent } = open(says('the answer'))
    create({ input: 'a', store: false })
    const [item] = responseOf(await answer()).output as { id: string }[]
    create({ input: [{ type: 'item_reference', id: item?.id }], store: false })
    await answer()
    expect(said(sent[1])).toEqual(['assistant: the answer'])
  })

  it('keeps no more than one request could carry', async () => {
    const { create, answer } = open(says('x'.repeat(900)), { maxBodyBytes: 1000 })
    create({ input: 'a'.repeat(200), store: false })
    const { id } = responseOf(await answer())
    create({ input: 'b', store: false, previous_response_id: id })
    expect(codeOf(await answer())).toBe('previous_response_not_found')
  })
})

describe('generate: false', () => {
  it('remembers without asking anybody, and its id can be continued with nothing new', async () => {
    const { create, answer, sent } = open(says('ready'))
    create({ input: 'prepare', instructions: 'Be brief.', store: false, generate: false })
    const warm = responseOf(await answer())
    expect(warm).toMatchObject({ status: 'completed', output: [], usage: { total_tokens: 0 } })
    expect(sent).toEqual([])
    create({ input: [], instructions: 'Be brief.', store: false, previous_response_id: warm.id })
    expect(responseOf(await answer())).toMatchObject({ output: [{ content: [{ text: 'ready' }] }] })
    expect(said(sent[0])).toEqual(['system: Be brief.', 'user: prepare'])
  })

  it('is answered whatever the turn to come must do', async () => {
    const { create, answer } = open(says('ready'))
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' } }]
    const format = { type: 'json_schema', name: 's', schema: { type: 'object' }, strict: true }
    create({ input: 'a', tools, tool_choice: 'required', text: { format }, generate: false })
    expect(responseOf(await answer()).status).toBe('completed')
  })

  it('finds what the turn to come would be refused for', async () => {
    const { create, answer } = open(says('ready'))
    create({ input: 'a', temperature: 9, generate: false })
    expect(codeOf(await answer())).toBe('invalid_value')
  })
})

describe('a store behind', () => {
  function store(known: Record<string, History>) {
    const turns: Turn[] = []
    const finished: Json[] = []
    let next = 0
    const state: TurnStore = {
      history: async (id) => known[id],
      items: async () => new Map(),
      begin(turn) {
        turns.push(turn)
        if (!turn.store) return undefined
        return {
          id: `resp_kept${next++}`,
          durable: true,
          begun: false,
          journal: async () => undefined,
          write() {},
          finish: async (response) => void finished.push(response),
          cancel() {},
        }
      },
    }
    return { state, turns, finished }
  }

  it('keeps what is to be kept, and is asked for what memory has not', async () => {
    const item = { type: 'message', role: 'user', content: 'long ago', id: 'msg_1' }
    const { state, finished } = store({
      resp_old: { items: [item], status: 'completed', responses: ['resp_old'] },
    })
    const { create, answer, sent } = open(says('yes'), { state })
    create({ input: 'now', previous_response_id: 'resp_old' })
    const { id, store: kept } = responseOf(await answer())
    expect([id, kept]).toEqual(['resp_kept0', true])
    expect(finished).toHaveLength(1)
    expect(said(sent[0])).toEqual(['user: long ago', 'user: now'])
    // The next turn needs no store: what came from there is remembered, too.
    create({ input: 'next', store: false, previous_response_id: id })
    expect(responseOf(await answer()).store).toBe(false)
    expect(said(sent[1])).toEqual(['user: long ago', 'user: now', 'assistant: yes', 'user: next'])
    expect(finished).toHaveLength(1)
  })
})

describe('bounds', () => {
  it('runs sixteen at once', async () => {
    const { script, asked, release } = held()
    const { create, answer } = open(script)
    for (let lane = 0; lane < 17; lane++) create({ stream_id: `lane${lane}`, input: 'a' })
    await until(() => asked.length === 16)
    release()
    await answer('lane0')
    await until(() => asked.length === 17)
    release()
    expect(responseOf(await answer('lane16')).status).toBe('completed')
  })

  it('knows thirty-two lanes', async () => {
    const { create, answer } = open(says('yes'))
    for (let lane = 0; lane < 32; lane++) {
      create({ stream_id: `lane${lane}`, input: 'a', store: false })
      await answer(`lane${lane}`)
    }
    create({ stream_id: 'one.too-many', input: 'a' })
    expect(codeOf(await answer('one.too-many'))).toBe('websocket_stream_limit_reached')
    create({ stream_id: 'lane7', input: 'a' })
    expect(responseOf(await answer('lane7')).status).toBe('completed')
    create({ input: 'a' })
    expect(responseOf(await answer()).status).toBe('completed')
  })

  it('lets thirty-two turns wait, and messages of the size of one body', async () => {
    const { script, asked, release } = held()
    const { create, answer } = open(script)
    for (let turn = 0; turn < 33; turn++) create({ input: 'a' })
    await until(() => asked.length === 1)
    create({ input: 'one too many' })
    expect(await answer()).toMatchObject([{ status: 429, error: { code: 'rate_limit_exceeded' } }])
    release()
    const small = open(script, { maxBodyBytes: 1000 })
    for (let turn = 0; turn < 3; turn++) small.create({ input: 'a'.repeat(600) })
    expect(await small.answer()).toMatchObject([{ status: 429 }])
    release()
  })

  it('ends with a client that sends nothing but faults', async () => {
    const { create, answer, socket, messages, closes } = open(says('yes'))
    for (let fault = 0; fault < 99; fault++) socket.receive('?')
    create({ input: 'a' })
    for (let fault = 0; fault < 99; fault++) socket.receive('?')
    expect(closes).toEqual([])
    await until(() => messages.at(-1)?.type === 'response.completed')
    socket.receive('?')
    expect(closes).toEqual([[1008, 'too many faulty messages']])
    expect(await answer()).toHaveLength(1)
  })

  it('asks nobody after the client has gone', async () => {
    const { script, asked } = held()
    const { create, socket, messages } = open(script)
    create({ input: 'running' })
    create({ input: 'waiting' })
    await until(() => asked.length === 1)
    socket.closed()
    expect(asked[0]?.signal.aborted).toBe(true)
    socket.receive('{"type":"response.create","model":"m","input":"late"}')
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(asked).toHaveLength(1)
    expect(messages).toEqual([])
  })
})

describe('a place whose answers are passed on raw', () => {
  it('cannot break the rules: an answer that is no stream, and one without an end', async () => {
    const raw = candidate({ raw: true, dialects: ['responses'] })
    let script: Script = () => json({ id: 'resp_x', object: 'response' })
    const { deps } = host([raw, (call) => script(call)])
    const { plan, send } = deps
    const { create, answer } = open(says(''), { plan, send })
    create({ input: 'a', store: false })
    expect(await answer()).toMatchObject([{ status: 502, error: { code: 'upstream_error' } }])
    const response = { id: 'resp_x', object: 'response', status: 'in_progress', output: [] }
    const begun = { type: 'response.created', sequence_number: 0, response }
    script = () => streamed([`event: response.created\ndata: ${JSON.stringify(begun)}\n\n`])
    create({ input: 'a', store: false })
    const types = (await answer()).map(({ type }) => type)
    expect(types.slice(-2)).toEqual(['error', 'response.failed'])
  })
})

describe('whatever it is told', () => {
  const maybe = <T>(...values: T[]) => fc.option(fc.constantFrom(...values))
  const request = fc
    .record(
      {
        type: fc.constantFrom('response.create', 'response.cancel', 'response.processed', 'x'),
        model: maybe('m', 'none', ''),
        input: fc.oneof(fc.string(), fc.array(fc.object()), fc.constant(null)),
        stream_id: maybe<unknown>('a', 'b', ' ', 7),
        previous_response_id: maybe<unknown>('resp_x', 5),
        response_id: maybe<unknown>('resp_0', 4),
        generate: fc.option(fc.boolean()),
        store: fc.option(fc.boolean()),
      },
      { requiredKeys: [] },
    )
    .map((fields) => JSON.stringify(fields))
  const message = fc.oneof(request, fc.json(), fc.string(), fc.constant(new ArrayBuffer(3)))

  it('blames the client for it and answers the next turn', async () => {
    const told = fc.array(message, { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(told, async (each) => {
        const { socket, create, answer, messages, errors } = open(says('yes'))
        for (const data of each) socket.receive(data)
        create({ stream_id: 'last', input: 'a', store: false })
        expect(responseOf(await answer('last')).status).toBe('completed')
        socket.closed()
        const blamed = messages.flatMap(({ status }) => (status === undefined ? [] : [status]))
        for (const status of blamed) expect(status).toBeOneOf([400, 404, 429])
        expect(errors).toEqual([])
      }),
      { numRuns: 50 },
    )
  })
})

describe('sixty minutes', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  it('are the longest life of a connection, whatever runs', async () => {
    const { script, asked } = held()
    const { create, messages, closes } = open(script)
    create({ input: 'a' })
    await vi.advanceTimersByTimeAsync(59 * 60 * 1000)
    expect([messages, closes]).toEqual([[], []])
    await vi.advanceTimersByTimeAsync(60 * 1000)
    expect(messages).toMatchObject([
      { type: 'error', status: 400, error: { code: 'websocket_connection_limit_reached' } },
    ])
    expect(closes).toEqual([[1001, 'websocket_connection_limit_reached']])
    expect(asked[0]?.signal.aborted).toBe(true)
    create({ input: 'b' })
    expect(messages).toHaveLength(1)
  })

  it('leave no timer behind a client that has gone', () => {
    const { socket } = open(says(''))
    expect(vi.getTimerCount()).toBe(1)
    socket.closed()
    expect(vi.getTimerCount()).toBe(0)
  })
})
