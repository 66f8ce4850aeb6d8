// What is known of a call that was made when nobody lived to tell: every call is in the record before its server hears of it,
// and a store that does not take it prevents it.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openSqlite } from '../../../native-node/server/sqlite.ts'
import { localState } from '../../../src/faces/local-state.ts'
import { handleResponses } from '../../../src/index.ts'
import { LocalStore } from '../../../src/store/local-store.ts'
import type { Recorder } from '../../../src/store/store.ts'
import { eventsIn } from '../../contract/store.ts'
import { checkOrder } from '../../oracle/order.ts'
import { countingIds } from '../support.ts'
import { post } from '../upstream.ts'
import { echo, items, serverWith, stage, toolOf } from './mcp-stage.ts'
import { type Json, turn } from './script.ts'

afterEach(() => vi.useRealTimers())

/** A host with a store; `crash` opens the store's file as the next process would. */
async function kept(turns: readonly (readonly object[])[], onCall: (text: string) => void) {
  const call = (_name: string, args: Record<string, unknown>) => {
    onCall(String(args.text))
    return undefined
  }
  const server = await serverWith({ call })
  const made = stage([server], turns)
  const { sql } = await openSqlite(':memory:')
  const errors: unknown[] = []
  const options = { sql, newId: countingIds(), now: Date.now, days: 30 }
  const store = new LocalStore({ ...options, onError: (error) => errors.push(error) })
  made.deps.state = localState(store, () => made.deps)
  const crash = () => new LocalStore(options)
  return { ...made, server, store, sql, crash, storeErrors: errors }
}

/** Texts of the calls in a response, by their status. */
const calls = (response: Json | undefined) =>
  items(response ?? { output: [] }, 'mcp_call').map(({ status, arguments: text, error }) => ({
    status,
    text: text === '' ? '' : JSON.parse(String(text)).text,
    message: String((error as Json | null)?.message ?? ''),
  }))

const lost = (text: string) => ({
  status: 'failed',
  text,
  message: expect.stringContaining('may have run'),
})

describe('a crash while calls are made', () => {
  const cases: [string, Json][] = [
    ['a stream', { stream: true }],
    ['an answer in one piece', { stream: false }],
    ['a background response', { background: true }],
  ]
  it.each(cases)('leaves a record that tells of all of them: %s', async (_name, request) => {
    let first = true
    const found: Promise<[Json | undefined, string]>[] = []
    const texts = ['a', 'b', 'b', 'c']
    const calling = turn(texts.map(echo), 'let me ask')
    const made = await kept([calling, turn('Done.')], () => {
      if (!first) return
      first = false
      const next = made.crash()
      const id = String(made.sql.exec('SELECT id FROM responses')[0]?.id)
      const log = next.events(id, -1).then((each) => {
        return each === undefined || each === 'none' ? '' : new Response(each.body).text()
      })
      found.push(Promise.all([next.get(id), log]))
    })
    const response = await handleResponses(
      post({ model: 'test/model', input: 'go', tools: [toolOf(made.server)], ...request }),
      made.deps,
    )
    await response.text()
    await vi.waitUntil(() => found.length > 0)
    const [record, log] = (await found[0]) ?? []
    expect(record).toMatchObject({ status: 'failed', error: { code: 'server_error' } })
    expect(calls(record)).toEqual(texts.map(lost))
    if (request.stream !== true) return
    const events = eventsIn(log ?? '')
    expect(checkOrder(events)).toEqual([])
    expect(events.at(-1)?.type).toBe('response.failed')
  })

  it('is told to the model where the chain goes on, and nothing is made again', async () => {
    let id = ''
    const made = await kept([turn([echo('a'), echo('b')]), turn('On.'), turn('On.')], () => {
      if (id !== '') return
      id = String(made.sql.exec('SELECT id FROM responses')[0]?.id)
      made.deps.state = localState(made.crash(), () => made.deps)
    })
    const tools = [toolOf(made.server)]
    await made.send({ input: 'go', tools, stream: true })
    const count = made.server.count()
    const { final } = await made.send({ input: 'on', tools, previous_response_id: id })
    expect(final.status).toBe('completed')
    expect(made.server.count()).toBe(count)
    const messages = (made.sent.at(-1)?.body.messages ?? []) as Json[]
    const told = messages.filter(({ role }) => role === 'tool')
    expect(told).toHaveLength(2)
    for (const { content } of told) expect(content).toContain('may have run')
  })

  it('is told of calls of a pinned list and of those that were allowed', async () => {
    const seen: Json[][] = []
    const last = () =>
      String(made.sql.exec('SELECT id FROM responses ORDER BY created_at, id').at(-1)?.id)
    const turns = [turn('Hi.'), turn([echo('a'), echo('b')]), turn('Done.'), turn([echo('c')])]
    const made = await kept([...turns, turn('Done.')], () => {
      const rows = made.sql.exec("SELECT owner, text FROM texts WHERE kind LIKE 'calls %'")
      const own = rows.filter(({ owner }) => owner === last())
      seen.push(own.flatMap(({ text }) => JSON.parse(String(text)) as Json[]))
    })
    const tools = [toolOf(made.server)]
    const { final: first } = await made.send({ input: 'go', tools })
    const next = { input: 'on', tools, previous_response_id: first.id }
    expect(items((await made.send(next)).final, 'mcp_call')).toHaveLength(2)
    const asking = [toolOf(made.server, { require_approval: 'always' })]
    const { final: asked } = await made.send({ input: 'go', tools: asking, stream: true })
    const request = items(asked, 'mcp_approval_request')[0]
    const approval = {
      type: 'mcp_approval_response',
      approval_request_id: request?.id,
      approve: true,
    }
    // What only asks is no call.
    expect(made.sql.exec("SELECT text FROM texts WHERE kind LIKE 'calls %'")).toEqual([])
    await made.send({ input: [approval], tools: asking, previous_response_id: asked.id })
    expect(seen.map((each) => each.map(({ text }) => text))).toEqual([
      ['{"text":"a"}', '{"text":"b"}'],
      ['{"text":"a"}', '{"text":"b"}'],
      ['{"text":"c"}'],
    ])
    expect(made.sql.exec("SELECT text FROM texts WHERE kind LIKE 'calls %'")).toEqual([])
  })
})

describe('a store that does not take the calls', () => {
  const broken = async (journal: Recorder['journal'], turns = [turn([echo('a'), echo('b')])]) => {
    const made = await kept(turns, () => undefined)
    const begin = made.deps.state?.begin.bind(made.deps.state)
    const cancelled: string[] = []
    if (made.deps.state !== undefined) {
      made.deps.state.begin = (given) => {
        const recorder = begin?.(given)
        return (
          recorder && {
            ...recorder,
            begun: true,
            journal,
            cancel() {
              cancelled.push(recorder.id)
              recorder.cancel()
            },
          }
        )
      }
    }
    return { ...made, cancelled, request: { input: 'go', tools: [toolOf(made.server)] } }
  }
  const full = async () => {
    throw new Error('the disk is full')
  }

  it('prevents them, and the client is told why', async () => {
    const made = await broken(full)
    const whole = await made.send(made.request)
    expect(whole.status).toBe(503)
    expect(whole.final).toMatchObject({ error: { code: 'server_error' } })
    expect(whole.text).toContain('none of them was made')
    expect(made.cancelled).toHaveLength(1)
    expect(made.server.count()).toBe(0)
    const streamed = await broken(full)
    const { final } = await streamed.send({ ...streamed.request, stream: true })
    expect(final).toMatchObject({ status: 'failed', error: { code: 'server_error' } })
    expect(JSON.stringify(final)).not.toContain('may have run')
    expect(streamed.server.count()).toBe(0)
  })

  it('after calls that were made: what those did is told', async () => {
    let round = 0
    const second = async () => {
      if (++round > 1) await full()
    }
    const turns = [turn([echo('a')]), turn([echo('b')])]
    for (const stream of [false, true]) {
      round = 0
      const made = await broken(second, turns)
      const { final } = await made.send({ ...made.request, stream })
      expect(final).toMatchObject({ status: 'failed' })
      expect(calls(final)[0]).toMatchObject({ status: 'completed', text: 'a' })
      expect([...made.server.calls().keys()]).toEqual(['echo {"text":"a"}'])
    }
  })

  it('by never answering prevents them, too', async () => {
    const made = await broken(() => new Promise(() => undefined))
    let asked = false
    const recorder = made.deps.state?.begin.bind(made.deps.state)
    if (made.deps.state !== undefined && recorder !== undefined) {
      made.deps.state.begin = (given) => {
        const own = recorder(given)
        return (
          own && {
            ...own,
            journal: (...each) => {
              asked = true
              vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
              return own.journal(...each)
            },
          }
        )
      }
    }
    const waiting = made.send(made.request)
    await vi.waitUntil(() => asked, { interval: 1 })
    await vi.advanceTimersByTimeAsync(10_000)
    vi.useRealTimers()
    expect((await waiting).status).toBe(503)
    expect(made.server.count()).toBe(0)
  })

  it('when the client leaves meanwhile: nothing is made', async () => {
    const gone = new AbortController()
    const made = await broken(async () => gone.abort())
    const request = post({ model: 'm', ...made.request, stream: true }, { signal: gone.signal })
    const response = await handleResponses(request, made.deps)
    await response.text().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(made.server.count()).toBe(0)
  })
})

describe('a client that leaves', () => {
  it('at any step leaves a record that has ended and that tells of what was made', async () => {
    for (let step = 0; step < 24; step++) {
      const turns = [turn([echo('a'), echo('b')], 'hm'), turn([echo('c')]), turn('Done.')]
      const made = await kept(turns, () => undefined)
      const gone = new AbortController()
      const stream = step % 2 === 0
      const request = { model: 'm', input: 'go', tools: [toolOf(made.server)], stream }
      const waiting = handleResponses(post(request, { signal: gone.signal }), made.deps)
      if (stream) {
        const reader = (await waiting).body?.getReader()
        for (let at = 0; at < step / 2 && (await reader?.read())?.done === false; at++);
        gone.abort()
        await reader?.cancel()
      } else {
        setTimeout(() => gone.abort(), step)
        await waiting.then((response) => response.text()).catch(() => undefined)
      }
      await vi.waitUntil(() => !made.store.busy)
      const told = await Promise.all(
        made.sql.exec('SELECT id FROM responses').map(({ id }) => made.store.get(String(id))),
      )
      for (const response of told) expect(response?.status).not.toBe('in_progress')
      const texts = told.flatMap((response) => calls(response).map(({ text }) => text))
      const run = [...made.server.calls()].map(([call]) => JSON.parse(call.slice(5)).text)
      expect(texts).toEqual(expect.arrayContaining(run))
    }
  })
})

describe('two equal calls at once', () => {
  it('are two, in the answer and in the record', async () => {
    let journalled: Json[] = []
    const made = await kept([turn([echo('a'), echo('a')]), turn('Done.')], () => {
      const rows = made.sql.exec("SELECT text FROM texts WHERE kind LIKE 'calls %'")
      journalled = rows.flatMap(({ text }) => JSON.parse(String(text)) as Json[])
    })
    const { final } = await made.send({ input: 'go', tools: [toolOf(made.server)], stream: true })
    expect(made.server.count()).toBe(2)
    expect(new Set(journalled.map(({ announced }) => (announced as Json).id)).size).toBe(2)
    expect(calls(final).map(({ status }) => status)).toEqual(['completed', 'completed'])
  })
})

describe('an approval', () => {
  const asking = async () => {
    const made = await kept([turn([echo('a')]), turn([echo('b')]), turn('Done.')], () => undefined)
    const tools = [toolOf(made.server, { require_approval: 'always' })]
    const { final: one } = await made.send({ input: 'one', tools })
    const { final: two } = await made.send({ input: 'two', tools })
    const requests = [one, two].map((each) => items(each, 'mcp_approval_request')[0] ?? {})
    const allow = (at: number) => ({
      type: 'mcp_approval_response',
      approval_request_id: requests[at]?.id,
      approve: true,
    })
    return { ...made, tools, one, two, requests, allow }
  }

  it('counts in no chain but its own, whoever brings its request', async () => {
    const { send, tools, one, requests, allow, server } = await asking()
    const input = [requests[1] ?? {}, allow(1)]
    const refused = await send({ input, tools, previous_response_id: one.id })
    expect(refused.status).toBe(400)
    expect(refused.text).toContain('by none of the responses')
    expect(refused.final).toMatchObject({ error: { param: 'input[1].approval_request_id' } })
    expect(server.count()).toBe(0)
    const { final } = await send({ input: [allow(0)], tools, previous_response_id: one.id })
    expect(calls(final)[0]).toMatchObject({ status: 'completed', text: 'a' })
  })

  it('counts later in its chain, and in the background', async () => {
    const { send, tools, two, allow, server, store } = await asking()
    const { final: later } = await send({
      input: 'wait',
      tools,
      previous_response_id: two.id,
      stream: true,
    })
    const request = { input: [allow(1)], tools, previous_response_id: later.id, background: true }
    const { final } = await send(request)
    await vi.waitUntil(async () => !store.busy)
    expect(calls(await store.get(String(final.id)))[0]).toMatchObject({ status: 'completed' })
    expect(server.count()).toBe(1)
  })

  it('counts in no other conversation', async () => {
    const made = await kept([turn([echo('a')]), turn('Done.')], () => undefined)
    const tools = [toolOf(made.server, { require_approval: 'always' })]
    const [mine, other] = await Promise.all(
      [1, 2].map(() => made.store.conversations.create({}, [])),
    )
    const { final } = await made.send({ input: 'go', tools, conversation: mine?.id })
    const request = items(final, 'mcp_approval_request')[0] ?? {}
    const allow = { type: 'mcp_approval_response', approval_request_id: request.id, approve: true }
    const input = [request, allow]
    const refused = await made.send({ input, tools, conversation: other?.id })
    expect(refused.text).toContain('another conversation')
    const { final: done } = await made.send({ input: [allow], tools, conversation: mine?.id })
    expect(calls(done)[0]).toMatchObject({ status: 'completed' })
    expect(made.server.count()).toBe(1)
  })
})
