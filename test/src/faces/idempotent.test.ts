// Keys of clients over a real store in memory, where time and the store's faults are the test's own.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openSqlite } from '../../../native-node/server/sqlite.ts'
import type { FaceDeps } from '../../../src/faces/deps.ts'
import { localState } from '../../../src/faces/local-state.ts'
import { idSource } from '../../../src/ids.ts'
import { handleChat, handleResponses } from '../../../src/index.ts'
import { LocalStore } from '../../../src/store/local-store.ts'
import { chunk, completion } from '../../gateway/upstream.ts'
import { keysBut } from '../keys-but.ts'
import { candidate, type Host, host, json, post, type Script, streamed } from '../upstream.ts'

const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
const body = { model: 'm', input: 'hi' }
const chat = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
const faces = [
  ['Responses', handleResponses, body],
  ['Chat', handleChat, chat],
] as const

interface Faced extends Host {
  store: LocalStore
  clock: { now: number }
}

async function faced(script: Script = () => json(completion('ok'))): Promise<Faced> {
  const { sql } = await openSqlite(':memory:')
  const clock = { now: 1_700_000_000_000 }
  const now = () => clock.now
  const store = new LocalStore({ sql, newId, now, days: 30 })
  const at = host([candidate(), script])
  const deps: FaceDeps = { ...at.deps, newId, now, idempotency: store }
  deps.state = localState(store, () => deps)
  return { ...at, deps, store, clock }
}

const keyed = (given: object, key = 'k', init: RequestInit = {}) =>
  post(given, {
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    ...init,
  })

async function errorOf(response: Response) {
  const { error } = (await response.json()) as { error: Record<string, unknown> }
  return { status: response.status, code: error.code, param: error.param }
}

afterEach(() => {
  vi.useRealTimers()
})

describe.each(faces)('%s', (_, handle, request) => {
  it('asks no store for a request without a key', async () => {
    const { deps, store } = await faced()
    const untouched = new Proxy(store, {
      get: () => expect.fail('the store was asked'),
    })
    const given = { ...request, store: false }
    const response = await handle(post(given), { ...deps, idempotency: untouched })
    expect(response.status).toBe(200)
  })

  it('sends nothing while the store cannot say', async () => {
    const { deps, store, sent, errors } = await faced()
    const idempotency = keysBut(store, { take: () => Promise.reject(new Error('away')) })
    const refused = await handle(keyed(request), { ...deps, idempotency })
    expect(refused.headers.get('retry-after')).toBe('2')
    expect(await errorOf(refused)).toMatchObject({ status: 503, code: 'server_error' })
    expect(sent).toHaveLength(0)
    expect(errors).toHaveLength(1)
  })

  it('refuses a key where nothing is kept', async () => {
    const { deps, sent } = await faced()
    const { idempotency: _, ...bare } = deps
    expect(await errorOf(await handle(keyed(request), bare))).toEqual({
      status: 400,
      code: 'unsupported_parameter',
      param: 'Idempotency-Key',
    })
    expect(sent).toHaveLength(0)
  })

  it('gives an answer that could not be kept', async () => {
    const { deps, store, errors } = await faced()
    const idempotency = keysBut(store, { end: () => Promise.reject(new Error('away')) })
    const response = await handle(keyed(request), { ...deps, idempotency })
    expect(response.status).toBe(200)
    expect(await response.text()).toContain('ok')
    expect(errors).toMatchObject([{ message: 'away' }])
  })

  it('tells a repeat that has waited long enough to come again', async () => {
    const { deps, store, clock, sent } = await faced()
    const busy = keysBut(store, {
      take: async () => ({ is: 'running' }),
      ended: async () => {
        clock.now += 20_000
      },
    })
    const refused = await handle(keyed(request), { ...deps, idempotency: busy })
    expect(refused.headers.get('retry-after')).toBe('2')
    expect(refused.headers.get('x-should-retry')).toBeNull()
    expect(await errorOf(refused)).toMatchObject({ status: 409, code: 'idempotency_key_in_use' })
    expect(sent).toHaveLength(0)
  })

  it('waits no longer than its client', async () => {
    const { deps, store, sent } = await faced()
    const controller = new AbortController()
    const idempotency = keysBut(store, {
      take: async () => ({ is: 'running' }),
      ended: () => new Promise(() => controller.abort()),
    })
    const signal = controller.signal
    const left = await handle(keyed(request, 'k', { signal }), { ...deps, idempotency })
    expect(left.status).toBe(500)
    expect(sent).toHaveLength(0)
  })

  it('frees a key that was taken for a client that had left', async () => {
    const { deps, store } = await faced()
    const controller = new AbortController()
    const idempotency = keysBut(store, {
      async take(...args) {
        controller.abort()
        return store.keys.take(...args)
      },
    })
    await handle(keyed(request, 'k', { signal: controller.signal }), { ...deps, idempotency })
    const again = await handle(keyed(request), deps)
    expect(again.status).toBe(200)
    expect(again.headers.get('x-switchyard-idempotent-replay')).toBeNull()
  })

  it('holds its key as long as its answer takes', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let speak = () => {}
    const spoken = new Promise<void>((resolve) => {
      speak = resolve
    })
    const { deps, store, clock } = await faced(async () => {
      await spoken
      return json(completion('at last'))
    })
    const asking = handle(keyed(request), deps)
    const watching = keysBut(store, {
      ended: async () => {
        clock.now += 20_000
      },
    })
    for (let at = 0; at < 12; at++) {
      clock.now += 10_000
      await vi.advanceTimersByTimeAsync(10_000)
    }
    const repeat = await handle(keyed(request), { ...deps, idempotency: watching })
    expect(await errorOf(repeat)).toMatchObject({ code: 'idempotency_key_in_use' })
    speak()
    const text = await (await asking).text()
    expect(vi.getTimerCount()).toBe(0)
    expect(await (await handle(keyed(request), deps)).text()).toBe(text)
  })

  it('is answered anew where the first one was lost', async () => {
    const answers: Script[] = [() => new Promise(() => {}), () => json(completion('second'))]
    const { deps, clock, sent } = await faced((call) => answers.shift()?.(call) ?? json({}))
    void handle(keyed(request), deps)
    while (sent.length === 0) await new Promise((resolve) => setTimeout(resolve))
    clock.now += 30_000
    expect(await (await handle(keyed(request), deps)).text()).toContain('second')
  })
})

describe('an answer in several languages', () => {
  it('is kept to the byte, however its bytes are cut', async () => {
    const events = `${chunk({ content: 'héllo 😀 \ufeff ' })}${chunk({}, 'stop')}data: [DONE]\n\n`
    const bytes = new TextEncoder().encode(events)
    const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte))
    const { deps, sent } = await faced(() => streamed(pieces))
    const request = { ...chat, stream: true }
    const first = await (await handleChat(keyed(request), deps)).arrayBuffer()
    const again = await (await handleChat(keyed(request), deps)).arrayBuffer()
    expect(new Uint8Array(again)).toEqual(new Uint8Array(first))
    expect(new TextDecoder().decode(first)).toContain('héllo 😀')
    expect(sent).toHaveLength(1)
  })
})
