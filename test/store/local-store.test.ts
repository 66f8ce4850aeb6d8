// The store over node:sqlite, as `switchyard serve` has it: the common contract, and what only one process can show.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openResponseFile, type ResponseFile } from '../../native-node/server/response-file.ts'
import { openSqlite } from '../../native-node/server/sqlite.ts'
import { idSource } from '../../src/ids.ts'
import { keyTtlMs, leaseMs } from '../../src/store/idempotency.ts'
import { LocalStore } from '../../src/store/local-store.ts'
import type { Json, Recorder, Turn } from '../../src/store/store.ts'
import type { BegunCall } from '../../src/stream/begun-call.ts'
import { answerOf, describeStore, eventsIn, type Step, turnOf } from '../contract/store.ts'
import { checkOrder } from '../oracle/order.ts'

const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
const folder = mkdtempSync(join(tmpdir(), 'switchyard-store-'))
afterAll(() => rmSync(folder, { recursive: true }))

const silent = { newId, onError: (error: unknown) => expect.fail(String(error)) }

async function play(recorder: Recorder, steps: Step[]): Promise<void> {
  for (const [kind, ...args] of steps) {
    if (kind === 'write') recorder.write(String(args[0]), Number(args[1]))
    else if (kind === 'cancel') recorder.cancel()
    else if (kind === 'journal') await recorder.journal(args[0] as BegunCall[], args[1] as Json)
    else if (kind === 'repeat') {
      const [text, times] = args as [string, number]
      const batch = text.repeat(30)
      for (let at = 0; at < times; at += 30) recorder.write(batch, 2 + at)
    } else {
      const [response, events, upTo] = args as [Record<string, unknown>, string, number]
      await recorder.finish(response, events, upTo)
    }
  }
}

describeStore('an SQLite file', async () => {
  const files = new Map<string, ResponseFile>()
  const open = async () => {
    for (const name of ['one', 'two']) {
      files.set(name, await openResponseFile({ path: join(folder, `${name}.sqlite`), ...silent }))
    }
  }
  const close = () => {
    for (const file of files.values()) file.close()
  }
  const storeOf = (name: string) => {
    const file = files.get(name)
    if (file === undefined) throw new Error(`no tenant ${name}`)
    return file.store
  }
  await open()
  return {
    tenant: storeOf,
    async record(tenant: string, turn: Turn, steps: (id: string) => Step[]) {
      const recorder = storeOf(tenant).begin(turn)
      if (recorder !== undefined) await play(recorder, steps(recorder.id))
      return recorder?.id
    },
    async restart() {
      close()
      await open()
    },
    async stop() {
      close()
    },
  }
})

describe('keys of clients', () => {
  const start = 1_700_000_000_000
  const opened = async () => {
    const { sql } = await openSqlite(':memory:')
    const clock = { now: start }
    const store = new LocalStore({ sql, now: () => clock.now, days: 30, ...silent })
    const row = () => sql.exec('SELECT * FROM idempotency_keys')
    const texts = () => sql.exec('SELECT * FROM texts')
    return { keys: store.keys, store, clock, row, texts }
  }
  const answer = { status: 200, headers: [], body: { text: 'hello' } }

  it('pass to the next one when their holder is silent for too long', async () => {
    const { keys, clock } = await opened()
    await keys.take('k', 'd', 'a')
    clock.now += leaseMs - 1
    expect(await keys.take('k', 'd', 'b')).toEqual({ is: 'running' })
    expect(await keys.hold('k', 'a', null)).toBe(true)
    clock.now += leaseMs - 1
    expect(await keys.take('k', 'd', 'b')).toEqual({ is: 'running' })
    clock.now += 1
    expect(await keys.take('k', 'd', 'b')).toEqual({ is: 'yours' })
    // The first one lives after all: it may call no tool, and what it made is nobody's answer.
    expect(await keys.hold('k', 'a', { response: null })).toBe(false)
    await keys.end('k', 'a', answer)
    expect(await keys.take('k', 'd', 'c')).toEqual({ is: 'running' })
  })

  it('pass to another request as well, where their holder is lost', async () => {
    const { keys, clock } = await opened()
    await keys.take('k', 'd', 'a')
    clock.now += leaseMs
    expect(await keys.take('k', 'other', 'b')).toEqual({ is: 'yours' })
  })

  it('pass to nobody once tools may have been called', async () => {
    const { keys, clock } = await opened()
    await keys.take('k', 'd', 'a')
    await keys.hold('k', 'a', { response: 'resp_1' })
    await keys.take('l', 'd', 'a')
    await keys.hold('l', 'a', { response: null })
    await keys.hold('l', 'a', null)
    clock.now += leaseMs
    const cut = (body: object) => ({ is: 'kept', answer: { status: 200, headers: [], body } })
    expect(await keys.take('k', 'd', 'b')).toEqual(cut({ response: 'resp_1' }))
    expect(await keys.take('k', 'other', 'b')).toEqual({ is: 'reused' })
    expect(await keys.take('l', 'd', 'b')).toEqual(cut({ missing: 'interrupted' }))
    // It was only slow: its answer is the answer.
    await keys.end('l', 'a', answer)
    expect(await keys.take('l', 'd', 'b')).toEqual({ is: 'kept', answer })
  })

  it('are free after a day, and swept away with their answers', async () => {
    const { keys, store, clock, row, texts } = await opened()
    await keys.take('k', 'd', 'a')
    await keys.end('k', 'a', answer)
    clock.now += keyTtlMs - 1
    expect(await keys.take('k', 'd', 'b')).toEqual({ is: 'kept', answer })
    expect(store.sweep()).toBe(clock.now + 1)
    expect(row()).toHaveLength(1)
    clock.now += 1
    expect(store.sweep()).toBeUndefined()
    expect([row(), texts()]).toEqual([[], []])
    expect(await keys.take('k', 'other', 'b')).toEqual({ is: 'yours' })
  })

  it('begin anew with nothing of the answer before, and are swept in steps', async () => {
    const { keys, store, clock, row, texts } = await opened()
    for (let at = 0; at < 450; at++) {
      await keys.take(`k${at}`, 'd', 'a')
      await keys.end(`k${at}`, 'a', answer)
    }
    clock.now += keyTtlMs
    await keys.take('k0', 'd', 'b')
    expect(texts()).toHaveLength(449)
    for (const left of [250, 50, 1]) {
      store.sweep()
      expect(row()).toHaveLength(left)
    }
  })

  it('of a process that has ended are free at once in the next one', async () => {
    const path = join(folder, 'keys.sqlite')
    const first = await openResponseFile({ path, ...silent })
    await first.store.keys.take('k', 'd', 'a')
    await first.store.keys.take('l', 'd', 'a')
    await first.store.keys.hold('l', 'a', { response: 'resp_1' })
    first.close()
    const second = await openResponseFile({ path, ...silent })
    expect(await second.store.keys.take('k', 'd', 'b')).toEqual({ is: 'yours' })
    expect(await second.store.keys.take('l', 'd', 'b')).toMatchObject({ is: 'kept' })
    second.close()
  })
})

describe('one process', () => {
  const memory = async (now = () => 1_700_000_000_000) => {
    const { sql } = await openSqlite(':memory:')
    const open = () => new LocalStore({ sql, now, days: 30, ...silent })
    return { sql, open, store: open() }
  }
  const text = async (store: LocalStore, id: string, after = -1) => {
    const log = await store.events(id, after)
    return log === undefined || log === 'none' ? String(log) : new Response(log.body).text()
  }
  const begun = (store: LocalStore) => {
    const recorder = store.begin(turnOf('go'))
    if (recorder === undefined) throw new Error('no recorder')
    return recorder
  }

  it.each([0, 1, 3, 5, 7])('fails what was running, with %i events kept', async (kept) => {
    const { open, store } = await memory()
    const recorder = begun(store)
    const { texts } = answerOf(recorder.id, ['one', 'two', 'three'])
    recorder.write(texts.slice(0, kept).join(''), kept - 1)
    const next = open()
    const response = await next.get(recorder.id)
    expect(response).toMatchObject({ status: 'failed', error: { code: 'server_error' } })
    const events = eventsIn(await text(next, recorder.id))
    if (kept > 0) expect(checkOrder(events)).toEqual([])
    expect(events.at(-1)?.type).toBe('response.failed')
    // A client that had seen more than was kept is told of the end all the same.
    expect(eventsIn(await text(next, recorder.id, 500)).at(-1)?.type).toBe('response.failed')
  })

  it('lets several readers follow, each from its own place, and waits for none of them', async () => {
    const { store } = await memory()
    const recorder = begun(store)
    const { texts, text: whole, response } = answerOf(recorder.id, ['a', 'b', 'c', 'd'])
    recorder.write(texts[0] ?? '', 0)
    const lazy = await store.events(recorder.id, -1)
    const readers = [-1, 0, 2, 4].map((after) => text(store, recorder.id, after))
    for (let at = 1; at < texts.length - 1; at++) {
      recorder.write(texts[at] ?? '', at)
      await Promise.resolve()
    }
    await recorder.finish(
      response,
      whole.slice(texts.slice(0, -1).join('').length),
      texts.length - 1,
    )
    const given = await Promise.all(readers)
    expect(given).toEqual(
      [-1, 0, 2, 4].map((n) => whole.slice(texts.slice(0, n + 1).join('').length)),
    )
    // One that read nothing all the while finds it all.
    if (lazy === undefined || lazy === 'none') throw new Error('no events')
    expect(await new Response(lazy.body).text()).toBe(whole)
  })

  it('gathers events in few rows', async () => {
    const { sql, store } = await memory()
    const recorder = begun(store)
    const { texts, response } = answerOf(
      recorder.id,
      Array.from({ length: 400 }, () => 'word '),
    )
    for (const [at, event] of texts.slice(0, -1).entries()) recorder.write(event, at)
    await recorder.finish(response, texts.at(-1) ?? '', texts.length - 1)
    const rows = Number(sql.exec('SELECT COUNT(*) AS n FROM events')[0]?.n)
    expect(rows).toBeLessThanOrEqual(Math.ceil(texts.join('').length / 16_384) + 1)
    expect(eventsIn(await text(store, recorder.id))).toHaveLength(texts.length)
  })

  it('forgets claims whose time is over, and says when the next one is', async () => {
    let now = 1_700_000_000_000
    const { sql, store } = await memory(() => now)
    await store.claim('early', 1000)
    await store.claim('late', 5000)
    expect(store.sweep()).toBe(now + 1000)
    now += 1000
    expect(store.sweep()).toBe(now + 4000)
    expect(sql.exec('SELECT key FROM claims')).toEqual([{ key: 'late' }])
    now += 4000
    expect(store.sweep()).toBeUndefined()
    expect(sql.exec('SELECT key FROM claims')).toEqual([])
  })

  it('forgets what has expired, keeps a chain as long as its last turn, and leaves no row behind', async () => {
    let now = 1_700_000_000_000
    const day = 86_400_000
    const { sql, store } = await memory(() => now)
    const finish = async (turn: Turn) => {
      const recorder = store.begin(turn)
      if (recorder === undefined) throw new Error('no recorder')
      const { text: events, texts, response } = answerOf(recorder.id, ['x'])
      await recorder.finish(response, events, texts.length - 1)
      return recorder.id
    }
    const alone = await finish(turnOf('alone'))
    const first = await finish(turnOf('first'))
    const talk = await store.conversations.create({}, turnOf('kept').input)
    now += 20 * day
    const second = await finish(turnOf('second', { previousResponseId: first }))
    now += 11 * day
    expect(await store.get(alone)).toBeUndefined()
    expect((await store.history(second))?.items).toHaveLength(4)
    expect(store.sweep()).toBeGreaterThan(now)
    expect(await store.conversations.get(talk.id)).toBeUndefined()
    now += 20 * day
    expect(await store.history(second)).toBeUndefined()
    expect(store.sweep()).toBeUndefined()
    for (const table of ['responses', 'texts', 'events', 'output_items', 'conversation_items']) {
      expect(sql.exec(`SELECT COUNT(*) AS n FROM ${table}`)).toEqual([{ n: 0 }])
    }
  })

  it('closes a response whose writer is not heard any more', async () => {
    let now = 1_700_000_000_000
    const { store } = await memory(() => now)
    const recorder = begun(store)
    recorder.write(answerOf(recorder.id, ['x']).texts[0] ?? '', 0)
    store.closeSilent(60_000)
    expect(await store.get(recorder.id)).toMatchObject({ status: 'in_progress' })
    now += 61_000
    store.closeSilent(60_000)
    expect(await store.get(recorder.id)).toMatchObject({ status: 'failed' })
    expect(store.busy).toBe(false)
    await expect(recorder.finish({ status: 'completed' }, '', -1)).rejects.toThrow()
  })

  it('makes so many background responses at a time and no more, and each ends', async () => {
    const { store } = await memory()
    const never = () => new Promise<Response>(() => {})
    const ids = Array.from({ length: 101 }, () => store.newResponseId(turnOf('x')))
    const start = (id = '') => store.start(id, turnOf('x'), { status: 'queued' }, never)
    for (const id of ids.slice(1)) start(id)
    expect(() => start(ids[0])).toThrow(/100 background responses/)
    expect(await store.cancel(ids[1] ?? '')).toMatchObject({ response: { status: 'cancelled' } })
    expect(start(ids[0])).toMatchObject({ id: ids[0], status: 'queued' })
    const quiet = store.newResponseId(turnOf('y'))
    await store.cancel(ids[2] ?? '')
    store.start(quiet, turnOf('y'), { status: 'queued' }, async () => new Response(''))
    await expect.poll(async () => (await store.get(quiet))?.status).toBe('failed')
  })

  it('leaves no byte of what was deleted in its file', async () => {
    const path = join(folder, 'deleted.sqlite')
    const file = await openResponseFile({ path, ...silent })
    const onDisk = () => [path, `${path}-wal`].map((name) => readFileSync(name, 'latin1')).join('')
    const { store } = file
    const recorder = store.begin(turnOf('secret of a response'))
    if (recorder === undefined) throw new Error('no recorder')
    await recorder.finish(answerOf(recorder.id, ['x']).response, '', -1)
    const [item] = turnOf('secret of an item').input
    const talk = await store.conversations.create({}, [
      ...turnOf('secret of a conversation').input,
      ...(item === undefined ? [] : [item]),
    ])
    expect(onDisk().match(/secret of an? \w+/g)?.length).toBeGreaterThanOrEqual(3)
    await store.conversations.removeItem(talk.id, String(item?.id))
    expect(onDisk()).not.toContain('secret of an item')
    await store.conversations.remove(talk.id)
    expect(onDisk()).not.toContain('secret of a conversation')
    expect(onDisk()).toContain('secret of a response')
    await store.remove(recorder.id)
    expect(onDisk()).not.toContain('secret of')
    file.close()
  })

  it('refuses a file of a newer version, and one that another process has open; lets nobody else read it', async () => {
    const { sql } = await openSqlite(join(folder, 'newer.sqlite'))
    new LocalStore({ sql, now: Date.now, days: 30, ...silent })
    await expect(
      openResponseFile({ path: join(folder, 'newer.sqlite'), ...silent }),
    ).rejects.toThrow(/locked/)
    expect(statSync(join(folder, 'newer.sqlite')).mode & 0o077).toBe(0)
    sql.exec("UPDATE meta SET value = 999 WHERE key = 'version'")
    expect(() => new LocalStore({ sql, now: Date.now, days: 30, ...silent })).toThrow(/version 999/)
  })
})
