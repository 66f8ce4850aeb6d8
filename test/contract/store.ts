// What every response store must keep, wherever its rows lie.
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { idSource } from '../../src/ids.ts'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import { doneMarker, encodeEvent } from '../../src/sse/encode.ts'
import type { Json, PageQuery, Store, Turn } from '../../src/store/store.ts'
import type { BegunCall } from '../../src/stream/begun-call.ts'
import { ResponseWriter } from '../../src/stream/writer.ts'
import type { Claims } from '../../src/tools/mcp/claims.ts'
import { checkOrder } from '../oracle/order.ts'
import { itKeepsClaims } from './claims.ts'
import { itKeepsAnswers, newKey } from './idempotency.ts'

/** What a recorder is told, in order. */
export type Step =
  | ['write', string, number]
  | ['finish', Json, string, number]
  | ['cancel']
  | ['journal', BegunCall[], Json]
  /** So many events of that text: more than can be written down here. */
  | ['repeat', string, number]

export type Management = Omit<Store, 'begin' | 'background'> & Claims

export interface StoreHarness {
  tenant(name: string): Management
  /** Records one response with these steps; undefined where nothing is recorded. Rejects where `finish` does. */
  record(tenant: string, turn: Turn, steps: (id: string) => Step[]): Promise<string | undefined>
  /** Ends the process and starts another one on what it left. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const newId = idSource((bytes) => new Uint8Array(randomBytes(bytes)))

export function turnOf(input: string, overrides: Partial<Turn> = {}): Turn {
  const content = [{ type: 'input_text', text: input }]
  return {
    store: true,
    stream: true,
    previousResponseId: undefined,
    conversation: undefined,
    input: [{ type: 'message', id: newId('msg'), role: 'user', status: 'completed', content }],
    ...overrides,
  }
}

/** A real answer: its events, the text of each, and the final object. */
export function answerOf(id: string, deltas: string[]) {
  const writer = new ResponseWriter({
    request: { model: 'm', input: '' },
    id,
    model: 'm',
    createdAt: 1_700_000_000,
    newId,
    now: () => 1_700_000_000_000,
    reasoningEvents: 'reasoning_text',
  })
  const events: ResponsesEvent[] = [...writer.start()]
  for (const delta of deltas) events.push(...writer.text(delta))
  events.push(...writer.complete({ finish: 'stop' }))
  const texts = events.map((event) => encodeEvent(event.type, event))
  return { events, texts, text: texts.join('') + doneMarker, response: writer.response as Json }
}

/** The object of an answer that has told nothing yet. */
function begunResponse(id: string): Json {
  const [created] = answerOf(id, []).events
  if (created?.type !== 'response.created') throw new Error('no response.created')
  // As a tool loop tells it: its first turn is over.
  const usage = {
    input_tokens: 5,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 2,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 7,
  }
  return { ...created.response, usage }
}

/** Steps of a whole answer: its first events in one batch, the rest with the end. */
function wholeAnswer(id: string, text: string): Step[] {
  const { texts, response } = answerOf(id, [text])
  return [
    ['write', texts.slice(0, 3).join(''), 2],
    ['finish', response, texts.slice(3).join('') + doneMarker, texts.length - 1],
  ]
}

/** A call that is about to be made, as the tool loop writes it down. */
function begunCall(text: string): BegunCall {
  const item = { id: newId('mcp'), type: 'mcp_call', server_label: 's', name: 'n', output: null }
  const error = { type: 'mcp_protocol_error', code: -32000, message: 'may have run' }
  return {
    announced: { ...item, status: 'in_progress', arguments: '', error: null },
    begun: ['mcp_call.in_progress'],
    grows: { field: 'arguments', events: 'mcp_call_arguments' },
    running: [],
    text,
    end: {
      item: { ...item, status: 'failed', arguments: text, error },
      events: ['mcp_call.failed'],
    },
  }
}

const unknownId = `resp_01${'ab'.repeat(23)}`
const unknownConversation = `conv_01${'ab'.repeat(23)}`
const all: PageQuery = { after: undefined, before: undefined, limit: 100, order: 'asc' }

/** The JSON of the events in a text of events. */
export function eventsIn(text: string): { type: string; [key: string]: unknown }[] {
  return [...text.matchAll(/^data: (\{.*)$/gm)].map(([, json]) => JSON.parse(json ?? ''))
}

function outputOf(response: Json | undefined): Json[] {
  return Array.isArray(response?.output) ? response.output : []
}

async function textOf(store: Management, id: string, after = -1): Promise<string> {
  const log = await store.events(id, after)
  if (log === undefined || log === 'none') return String(log)
  return new Response(log.body).text()
}

export function describeStore(name: string, start: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness
    let store: Management
    beforeAll(async () => {
      harness = await start()
      store = harness.tenant('one')
    })
    afterAll(() => harness?.stop())

    const record = async (turn: Turn, steps: (id: string) => Step[]): Promise<string> => {
      const id = await harness.record('one', turn, steps)
      if (id === undefined) throw new Error('nothing was recorded')
      return id
    }
    const say = (input: string, answer: string, overrides: Partial<Turn> = {}) =>
      record(turnOf(input, overrides), (id) => wholeAnswer(id, answer))
    const said = (items: Json[] | undefined) =>
      items?.map(({ content }) => (content as { text: string }[])[0]?.text)

    itKeepsClaims((tenant) => harness.tenant(tenant))
    itKeepsAnswers((tenant) => harness.tenant(tenant).keys)

    it('keeps claims over a restart', async () => {
      const key = `approval ${newId('item')}`
      expect(await store.claim(key, 3_600_000)).toBe(true)
      await harness.restart()
      store = harness.tenant('one')
      expect(await store.claim(key, 3_600_000)).toBe(false)
    })

    it('keeps answers under keys over a restart', async () => {
      const [ended, running] = [newKey(), newKey()]
      await store.keys.take(ended, 'd', 'a')
      const body = { text: 'hello' }
      await store.keys.end(ended, 'a', { status: 200, headers: [], body })
      await store.keys.take(running, 'd', 'a')
      await store.keys.hold(running, 'a', { response: 'resp_1' })
      await harness.restart()
      store = harness.tenant('one')
      expect(await store.keys.take(ended, 'd', 'b')).toMatchObject({ is: 'kept', answer: { body } })
      // Its holder may have called tools: it is not run again, whether or not its lease is over.
      const found = await store.keys.take(running, 'd', 'b')
      expect(['kept', 'running']).toContain(found.is)
    })

    it('keeps a response, its input and its items', async () => {
      const id = await say('hello', 'hi there')
      const response = await store.get(id)
      expect(response).toMatchObject({ id, status: 'completed' })
      expect(said(outputOf(response))).toEqual(['hi there'])
      expect(said((await store.inputItems(id, all))?.data)).toEqual(['hello'])
      const [item] = outputOf(response)
      expect((await store.items([String(item?.id), 'msg_unknown'])).get(String(item?.id))).toEqual(
        item,
      )
    })

    it('keeps a chain in order: input, output, input, output', async () => {
      const first = await say('1', 'one')
      const second = await say('2', 'two', { previousResponseId: first })
      const third = await say('3', 'three', { previousResponseId: second })
      expect(second.slice(0, 7)).toBe(first.slice(0, 7))
      const history = await store.history(third)
      expect(said(history?.items)).toEqual(['1', 'one', '2', 'two', '3', 'three'])
      expect(history?.status).toBe('completed')
      expect(said((await store.inputItems(third, all))?.data)).toEqual([
        '1',
        'one',
        '2',
        'two',
        '3',
      ])
    })

    it('gives the events again from any one on', async () => {
      let texts: string[] = []
      const id = await record(turnOf('go'), (given) => {
        const answer = answerOf(given, ['a', 'b 😀', 'c'])
        texts = answer.texts
        // A batch an event: rows grow, and a reader starts in the middle of one.
        const steps: Step[] = texts.slice(0, -1).map((text, at) => ['write', text, at])
        const last = (texts.at(-1) ?? '') + doneMarker
        return [...steps, ['finish', answer.response, last, texts.length - 1]]
      })
      // Where the rows are far away, the steps are written before the id is known.
      texts = texts.map((text) => text.replaceAll('resp_to_be', id))
      for (let after = -1; after < texts.length - 1; after++) {
        expect(await textOf(store, id, after)).toBe(texts.slice(after + 1).join('') + doneMarker)
      }
      expect(await textOf(store, id, texts.length - 1)).toBe('')
    })

    it('has no events of a whole answer', async () => {
      const id = await record(turnOf('go', { stream: false }), (given) => [
        ['finish', answerOf(given, ['x']).response, '', -1],
      ])
      expect(await textOf(store, id)).toBe('none')
      expect(await store.get(id)).toMatchObject({ id, status: 'completed' })
    })

    it('keeps nothing where nothing shall be kept', async () => {
      expect(await harness.record('one', turnOf('x', { store: false }), () => [])).toBeUndefined()
    })

    it('keeps values that no row could hold, character by character', async () => {
      const long = '😀é漢x'.repeat(220_000)
      const id = await record(turnOf(long), (given) => {
        const { texts, response } = answerOf(given, [long])
        return [
          ['write', texts.slice(0, 2).join(''), 1],
          ['finish', response, texts.slice(2).join('') + doneMarker, texts.length - 1],
        ]
      })
      expect(said(outputOf(await store.get(id)))).toEqual([long])
      expect(said((await store.inputItems(id, all))?.data)).toEqual([long])
    })

    it('deletes: every trace of it is gone, and its chain cannot be continued', async () => {
      const first = await say('1', 'one')
      const second = await say('2', 'two', { previousResponseId: first })
      const [item] = outputOf(await store.get(first))
      expect(await store.remove(first)).toBe(true)
      expect(await store.remove(first)).toBe(false)
      expect(await store.get(first)).toBeUndefined()
      expect(await textOf(store, first)).toBe('undefined')
      expect((await store.items([String(item?.id)])).size).toBe(0)
      expect(await store.get(second)).toMatchObject({ id: second })
      await expect(store.history(second)).rejects.toMatchObject({
        code: 'previous_response_not_found',
        message: expect.stringContaining(first),
      })
    })

    it('knows no id of another tenant, and none that was never made', async () => {
      const mine = await say('secret', 'kept')
      const conversation = (await store.conversations.create({}, [])).id
      const [item] = outputOf(await store.get(mine))
      const other = harness.tenant('two')
      for (const [asked, id, talk] of [
        [other, mine, conversation],
        [store, unknownId, unknownConversation],
        [store, 'resp_', 'conv_'],
        [store, "resp_'; DROP TABLE responses", 'nonsense'],
      ] as const) {
        expect(await asked.get(id)).toBeUndefined()
        expect(await asked.history(id)).toBeUndefined()
        expect(await asked.inputItems(id, all)).toBeUndefined()
        expect(await textOf(asked, id)).toBe('undefined')
        expect(await asked.cancel(id)).toBeUndefined()
        expect(await asked.remove(id)).toBe(false)
        expect(await asked.history(talk)).toBeUndefined()
        expect(await asked.conversations.get(talk)).toBeUndefined()
        expect(await asked.conversations.list(talk, all)).toBeUndefined()
        expect(await asked.conversations.append(talk, turnOf('x').input)).toBeUndefined()
        expect(await asked.conversations.update(talk, {})).toBeUndefined()
        expect(await asked.conversations.remove(talk)).toBe(false)
      }
      expect((await other.items([String(item?.id)])).size).toBe(0)
      expect(await store.get(mine)).toMatchObject({ id: mine })
    })

    it('closes a response that its client gave up, in order', async () => {
      const id = await record(turnOf('go'), (given) => {
        const { texts } = answerOf(given, ['half of', ' it'])
        return [['write', texts.slice(0, 5).join(''), 4], ['cancel']]
      })
      const response = await store.get(id)
      expect(response).toMatchObject({ id, status: 'cancelled' })
      expect(said(outputOf(response))).toEqual(['half of'])
      const events = eventsIn(await textOf(store, id))
      expect(checkOrder(events)).toEqual([])
      expect(events.at(-1)?.type).toBe('response.incomplete')
      expect(said((await store.history(id))?.items)).toEqual(['go', 'half of'])
      expect(await store.cancel(id)).toBe('not_background')
    })

    it('tells of calls that were about to be made, however far the stream had come', async () => {
      for (let told = 0; told <= 7; told++) {
        const calls = ['{"a":1}', '{"b":2}', '{"c":3}'].map(begunCall)
        const id = await record(turnOf('go'), (given) => {
          const { texts } = answerOf(given, ['half'])
          const response = begunResponse(given)
          const [call] = calls
          const at = { item_id: call?.announced.id, output_index: 0 }
          const head = [
            { type: 'response.output_item.added', output_index: 0, item: call?.announced },
            { type: 'response.mcp_call.in_progress', ...at },
            { type: 'response.mcp_call_arguments.delta', ...at, delta: '{"a"' },
            { type: 'response.mcp_call_arguments.delta', ...at, delta: ':1}' },
            { type: 'response.mcp_call_arguments.done', ...at, arguments: '{"a":1}' },
          ].map((event, index) => encodeEvent(event.type, { ...event, sequence_number: index + 2 }))
          const events = [...texts.slice(0, 2), ...head].slice(0, told)
          return [
            ['write', events.join(''), events.length - 1],
            ['journal', calls.slice(0, 2), response],
            ['journal', calls.slice(2), response],
            ['cancel'],
          ]
        })
        const response = await store.get(id)
        expect(outputOf(response)).toEqual(calls.map(({ end }) => end.item))
        const events = eventsIn(await textOf(store, id))
        expect(checkOrder(events)).toEqual([])
        // A chain that goes on from here knows of them.
        expect((await store.history(id))?.items.slice(1)).toEqual(outputOf(response))
      }
    })

    it('tells of calls where nothing else was written, and of none once all is told', async () => {
      const calls = [begunCall('{}')]
      const lost = await record(turnOf('go', { stream: false }), (id) => [
        ['journal', calls, begunResponse(id)],
        ['cancel'],
      ])
      expect(await store.get(lost)).toMatchObject({ id: lost, status: 'cancelled' })
      expect(outputOf(await store.get(lost))).toEqual([calls[0]?.end.item])
      const done = await record(turnOf('go', { stream: false }), (id) => [
        ['journal', calls, begunResponse(id)],
        ['finish', answerOf(id, ['all']).response, '', -1],
      ])
      expect(said(outputOf(await store.get(done)))).toEqual(['all'])
    })

    it('tells of calls that the end of a failed response leaves out', async () => {
      const calls = ['{"a":1}', '{"b":2}'].map(begunCall)
      const items = calls.map(({ end }) => end.item)
      const cut = { ...calls[0]?.announced, status: 'incomplete' }
      for (const [status, output, told] of [
        ['failed', [], items],
        ['failed', items.slice(1), [items[1], items[0]]],
        ['failed', [cut], items],
        // What was written down and only asked for approval is not in a whole answer.
        ['completed', items.slice(1), items.slice(1)],
      ] as [string, Json[], Json[]][]) {
        const id = await record(turnOf('go', { stream: false }), (given) => [
          ['journal', calls, begunResponse(given)],
          ['finish', { ...answerOf(given, ['x']).response, status, output }, '', -1],
        ])
        expect(outputOf(await store.get(id))).toEqual(told)
      }
    })

    it('takes no call for a response that has ended', async () => {
      const late = (id: string): Step[] => [
        ...wholeAnswer(id, 'x'),
        ['journal', [begunCall('{}')], begunResponse(id)],
      ]
      await expect(record(turnOf('go'), late)).rejects.toThrow()
    })

    it('names the responses of a chain', async () => {
      const first = await say('1', 'one')
      const second = await say('2', 'two', { previousResponseId: first })
      expect((await store.history(second))?.responses).toEqual([first, second])
      const talk = (await store.conversations.create({}, [])).id
      expect((await store.history(talk))?.responses).toEqual([])
    })

    it('bounds what it keeps of a stream: deltas beyond are left out, the end is not', async () => {
      const event = (n: number) =>
        encodeEvent('x', { type: 'x', sequence_number: n, text: 'y'.repeat(1000) })
      const id = await record(turnOf('go'), (given) => {
        const { texts, response } = answerOf(given, ['z'])
        return [
          ['write', texts.slice(0, 2).join(''), 1],
          ['repeat', event(2), 9000],
          ['finish', response, texts.slice(2).join('') + doneMarker, 20_000],
        ]
      })
      const log = await store.events(id, -1)
      if (log === undefined || log === 'none') throw new Error('no events')
      expect(log.truncated).toBe(true)
      const text = await new Response(log.body).text()
      expect(text.length).toBeLessThan(8.1 * 1024 * 1024)
      expect(text).toMatch(/^: /m)
      expect(eventsIn(text).at(-1)?.type).toBe('response.completed')
      expect(text.endsWith(doneMarker)).toBe(true)
      expect(said(outputOf(await store.get(id)))).toEqual(['z'])
    })

    it('pages through items', async () => {
      const first = await say('1', 'one')
      const id = await say('2', 'two', { previousResponseId: first })
      const ids = (await store.inputItems(id, all))?.data.map((item) => String(item.id)) ?? []
      expect(ids).toHaveLength(3)
      const page = async (query: Partial<PageQuery>) => {
        const given = await store.inputItems(id, { ...all, ...query })
        return [given?.data.map((item) => ids.indexOf(String(item.id))), given?.hasMore]
      }
      expect(await page({ limit: 2 })).toEqual([[0, 1], true])
      expect(await page({ limit: 2, after: ids[1] })).toEqual([[2], false])
      expect(await page({ order: 'desc', limit: 1 })).toEqual([[2], true])
      expect(await page({ order: 'desc', after: ids[2] })).toEqual([[1, 0], false])
      expect(await page({ before: ids[1] })).toEqual([[0], false])
      await expect(store.inputItems(id, { ...all, after: 'msg_no' })).rejects.toMatchObject({
        code: 'invalid_value',
        param: 'after',
      })
    })

    it('pages through a conversation', async () => {
      const talk = (await store.conversations.create({}, [])).id
      for (const text of ['a', 'b', 'c']) {
        await store.conversations.append(talk, turnOf(text).input)
      }
      const items = (await store.conversations.list(talk, all))?.data ?? []
      const ids = items.map(({ id }) => String(id))
      const page = async (query: Partial<PageQuery>) => {
        const given = await store.conversations.list(talk, { ...all, ...query })
        return [said(given?.data)?.join(''), given?.hasMore]
      }
      expect(await page({})).toEqual(['abc', false])
      expect(await page({ limit: 2 })).toEqual(['ab', true])
      expect(await page({ limit: 3 })).toEqual(['abc', false])
      expect(await page({ after: ids[0], before: ids[2] })).toEqual(['b', false])
      expect(await page({ order: 'desc', limit: 2 })).toEqual(['cb', true])
      expect(await page({ order: 'desc', after: ids[2], before: ids[0] })).toEqual(['b', false])
      await expect(
        store.conversations.list(talk, { ...all, before: 'msg_no' }),
      ).rejects.toMatchObject({ code: 'invalid_value', param: 'before' })
    })

    it('gives no more of it at once than fits in memory', async () => {
      const long = 'x'.repeat(9_000_000)
      const talk = (await store.conversations.create({}, [])).id
      const ids: string[] = []
      for (let at = 0; at < 4; at++) {
        const { input } = turnOf(long)
        ids.push(String(input[0]?.id))
        await store.conversations.append(talk, input)
      }
      const first = await store.conversations.list(talk, all)
      expect([first?.data.length, first?.hasMore]).toEqual([3, true])
      const rest = await store.conversations.list(talk, { ...all, after: ids[2] })
      expect([rest?.data.length, rest?.hasMore]).toEqual([1, false])
      const code = 'context_length_exceeded'
      await expect(store.history(talk)).rejects.toMatchObject({ code, param: 'conversation' })
      await expect(store.items(ids)).rejects.toMatchObject({ code, param: 'input' })
      expect((await store.items(ids.slice(1, 3))).size).toBe(2)
    })

    it('keeps conversations, and adds to them what responses say', async () => {
      const { conversations } = store
      const made = await conversations.create({ topic: 'x' }, turnOf('before').input)
      expect(made).toMatchObject({ metadata: { topic: 'x' } })
      const id = await say('question', 'answer', { conversation: made.id })
      expect(id.slice(5, 7)).toBe(made.id.slice(5, 7))
      const list = await conversations.list(made.id, all)
      expect(said(list?.data)).toEqual(['before', 'question', 'answer'])
      expect(said((await store.history(made.id))?.items)).toEqual(['before', 'question', 'answer'])
      const first = String(list?.data[0]?.id)
      expect(await conversations.item(made.id, first)).toEqual(list?.data[0])
      expect(await conversations.removeItem(made.id, first)).toBe(true)
      expect(await conversations.removeItem(made.id, first)).toBe(false)
      expect(await conversations.item(made.id, first)).toBeUndefined()
      expect(await conversations.update(made.id, { topic: 'y' })).toMatchObject({
        id: made.id,
        metadata: { topic: 'y' },
      })
      await conversations.append(made.id, turnOf('after').input)
      expect(said((await conversations.list(made.id, all))?.data)).toEqual([
        'question',
        'answer',
        'after',
      ])
      expect(await conversations.remove(made.id)).toBe(true)
      expect(await conversations.get(made.id)).toBeUndefined()
      expect(await store.get(id)).toMatchObject({ status: 'completed' })
    })

    it('keeps every answer of a conversation, whatever ids its upstream gives', async () => {
      const talk = (await store.conversations.create({}, [])).id
      const answers = [{ id: 'msg_1' }, { id: 'msg_1' }, {}, {}, { id: 'i'.repeat(3_000_000) }]
      for (const [at, item] of answers.entries()) {
        const content = [{ type: 'output_text', text: `answer ${at}` }]
        const output = [{ ...item, type: 'message', role: 'assistant', content }]
        await record(turnOf(`question ${at}`, { conversation: talk, stream: false }), (id) => [
          ['finish', { ...answerOf(id, ['x']).response, output }, '', -1],
        ])
      }
      const { data = [] } = (await store.conversations.list(talk, all)) ?? {}
      expect(said(data)).toEqual(answers.flatMap((_, at) => [`question ${at}`, `answer ${at}`]))
      expect(new Set(data.map(({ id }) => id)).size).toBe(data.length)
      for (const item of data) {
        expect(await store.conversations.item(talk, String(item.id))).toEqual(item)
      }
    })

    it('goes on from what an upstream answered only where a client could have sent it', async () => {
      const bad = [
        { type: 'message', id: 'a', role: 'assistant' },
        { type: 'message', id: 'b', role: 'assistant', content: [null, { type: 'output_text' }] },
        { type: 'reasoning', id: 'c', summary: 'x', content: 5 },
        { id: 'd' },
      ]
      const content = [{ type: 'output_text', text: 'good' }]
      const good = { type: 'message', id: 'e', role: 'assistant', content }
      const id = await record(turnOf('go', { stream: false }), (given) => [
        ['finish', { ...answerOf(given, ['x']).response, output: [...bad, good] }, '', -1],
      ])
      expect(said((await store.history(id))?.items)).toEqual(['go', 'good'])
      expect(outputOf(await store.get(id))).toHaveLength(5)
    })

    it('ends with the end, whatever status and numbers its upstream gives', async () => {
      for (const number of [undefined, -4, 0.5, 4e9]) {
        let text = ''
        const id = await record(turnOf('go'), (given) => {
          const { response } = answerOf(given, ['x'])
          const odd = { ...response, status: 'in_progress' }
          const event = { type: 'response.completed', sequence_number: number, response: odd }
          text = encodeEvent(event.type, event) + doneMarker
          return [['finish', odd, text, 0]]
        })
        expect(await textOf(store, id)).toBe(text.replaceAll('resp_to_be', id))
        expect(await store.get(id)).toMatchObject({ status: 'completed' })
      }
    })

    it('survives a restart', async () => {
      const first = await say('1', 'one')
      const talk = await store.conversations.create({}, turnOf('kept').input)
      const before = await textOf(store, first)
      await harness.restart()
      store = harness.tenant('one')
      expect(await textOf(store, first)).toBe(before)
      expect(said((await store.history(first))?.items)).toEqual(['1', 'one'])
      expect(said((await store.conversations.list(talk.id, all))?.data)).toEqual(['kept'])
    })
  })
}
