// Tools under a key of the client's: they are announced before they are called, by the one who holds the key, and a request
// that may have called them is not answered a second time, whoever died meanwhile.
import { describe, expect, it } from 'vitest'
import { openSqlite } from '../../../native-node/server/sqlite.ts'
import type { FaceDeps } from '../../../src/faces/deps.ts'
import { localState } from '../../../src/faces/local-state.ts'
import { handleChat, handleResponses } from '../../../src/index.ts'
import { LocalStore } from '../../../src/store/local-store.ts'
import { eventsIn } from '../../contract/store.ts'
import { checkOrder } from '../../oracle/order.ts'
import { keysBut } from '../keys-but.ts'
import { countingIds } from '../support.ts'
import { post } from '../upstream.ts'
import { echo, items, serverWith, stage, toolOf } from './mcp-stage.ts'
import { type Json, turn } from './script.ts'

const calling = turn([echo('hi')])
const said = turn('It said hi.')
const faces = [
  ['Responses', handleResponses, { input: 'go' }],
  ['Chat', handleChat, { messages: [{ role: 'user', content: 'go' }] }],
] as const

/** A host with a store; `next` is the process after this one, over the same rows. */
async function kept(turns: readonly (readonly object[])[], onCall: () => void = () => {}) {
  const call = () => {
    onCall()
    return undefined
  }
  const server = await serverWith({ call })
  const made = stage([server], turns)
  const { sql } = await openSqlite(':memory:')
  const options = { sql, newId: countingIds(), now: Date.now, days: 30 }
  const depsOver = (store: LocalStore): FaceDeps => {
    const deps: FaceDeps = { ...made.deps, idempotency: store }
    deps.state = localState(store, () => deps)
    return deps
  }
  const store = new LocalStore(options)
  const next = () => {
    const after = new LocalStore(options)
    after.keys.abandon()
    return depsOver(after)
  }
  const keyed = (request: Json) =>
    post(
      { model: 'test/model', tools: [toolOf(server)], ...request },
      { headers: { 'content-type': 'application/json', 'idempotency-key': 'k' } },
    )
  return { ...made, server, store, deps: depsOver(store), next, keyed }
}

describe.each(faces)('%s', (name, handle, request) => {
  it.each([false, true])('makes no call once the key is another’s (stream: %s)', async (stream) => {
    const { deps, store, server, keyed } = await kept([calling, calling, said])
    const lost = { ...deps, idempotency: keysBut(store, { hold: async () => false }) }
    const response = await handle(keyed({ ...request, stream }), lost)
    expect(await response.text()).toContain('none of them was made')
    expect(server.count()).toBe(0)
    // Nothing was done, and a repeat is a new try.
    expect(await (await handle(keyed({ ...request, stream }), deps)).text()).toContain(
      'It said hi.',
    )
    expect(server.count()).toBe(1)
  })

  it.each([false, true])('makes no call again after a crash (stream: %s)', async (stream) => {
    let crashed: (() => FaceDeps) | undefined
    const repeats: Promise<Response>[] = []
    const made = await kept([calling, said], () => {
      // The process ends while the server works: the next one is asked the same.
      const deps = crashed?.()
      crashed = undefined
      if (deps !== undefined) repeats.push(handle(made.keyed({ ...request, stream }), deps))
    })
    crashed = made.next
    // A process that has ended keeps nothing any more.
    const dead = { ...made.deps, idempotency: keysBut(made.store, { end: async () => {} }) }
    await (await handle(made.keyed({ ...request, stream }), dead)).text()
    expect(repeats).toHaveLength(1)
    const [repeat] = await Promise.all(repeats)
    const text = (await repeat?.text()) ?? ''
    expect(made.server.count()).toBe(1)
    if (name === 'Chat') {
      expect(repeat?.status).toBe(409)
      expect(text).toContain('after tools had been called')
      return
    }
    expect(repeat?.headers.get('x-switchyard-idempotent-replay')).toBe('true')
    const events = eventsIn(text)
    if (stream) expect(checkOrder(events)).toEqual([])
    const response = stream ? (events.at(-1)?.response as Json) : (JSON.parse(text) as Json)
    expect(response.status).toBe('failed')
    const [call] = items(response, 'mcp_call')
    expect(call?.error).toMatchObject({ message: expect.stringContaining('may have run') })
  })
})
