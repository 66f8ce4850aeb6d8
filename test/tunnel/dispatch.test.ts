// Which node gets a request, and what becomes of it when that node says no, dies or leaves.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import type { Handler } from '../../src/tunnel/responder.ts'
import { deferred, expectNext, handStream } from '../contract/channel.ts'
import { Hub, type NodeOptions } from './hub.ts'

let hub: Hub
let clients: TunnelClient[] = []

beforeAll(async () => {
  hub = await Hub.start()
})
afterAll(() => hub.stop())
afterEach(async () => {
  for (const client of clients) client.stop()
  clients = []
  await hub.until((nodes) => nodes.length === 0)
})

async function join(handle: Handler, options: NodeOptions): Promise<TunnelClient> {
  const client = await hub.join(handle, options)
  clients.push(client)
  return client
}

const says = (text: string) => async () => new Response(text)
const errorOf = async (answer: Promise<Response>) => {
  const response = await answer
  const { error } = JSON.parse(await response.text())
  return {
    status: response.status,
    retryable: response.headers.get('x-retryable') === 'true',
    retryAfter: response.headers.get('retry-after'),
    ...error,
  }
}

/** A node whose answers wait until the test lets them go. */
async function holding(options: NodeOptions) {
  const arrived: string[] = []
  const source = handStream()
  let first = true
  const client = await join(async () => {
    arrived.push(options.name)
    if (!first) return new Response('more')
    first = false
    return new Response(source.stream)
  }, options)
  return { client, arrived, source }
}

describe('choice', () => {
  it('fills free slots, counting its own requests, and queues at the least loaded', async () => {
    const counts: Record<string, number> = { small: 0, big: 0 }
    const waits: (() => void)[] = []
    const handle = (name: string) => async () => {
      counts[name]! += 1
      await new Promise<void>((resolve) => waits.push(resolve))
      return new Response('done')
    }
    await join(handle('small'), { name: 'small', slots: 1 })
    await join(handle('big'), { name: 'big', slots: 4 })
    const answers = Array.from({ length: 5 }, () => hub.call())
    while (waits.length < 5) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(counts).toEqual({ small: 1, big: 4 })
    const queued = [hub.call(), hub.call()]
    while (waits.length < 7) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(counts).toEqual({ small: 2, big: 5 })
    for (const go of waits) go()
    for (const answer of [...answers, ...queued]) expect(await (await answer).text()).toBe('done')
  })

  it('believes a node that says it is at work for others', async () => {
    await join(says('busy'), {
      name: 'busy',
      slots: 8,
      status: () => ({ running: 8, waiting: 3 }),
    })
    await join(says('idle'), { name: 'idle', slots: 1 })
    await hub.until((nodes) => nodes.some(({ running }) => running === 8))
    for (let n = 0; n < 3; n++) expect(await (await hub.call()).text()).toBe('idle')
  })

  it('takes turns between equals', async () => {
    await join(says('a'), { name: 'a' })
    await join(says('b'), { name: 'b' })
    const texts: string[] = []
    for (let n = 0; n < 4; n++) texts.push(await (await hub.call()).text())
    expect(texts.slice(0, 2).sort()).toEqual(['a', 'b'])
    expect(texts.slice(2)).toEqual(texts.slice(0, 2))
  })

  it('names the node that answered', async () => {
    await join(says('hi'), { name: 'its-name' })
    expect((await hub.call()).headers.get('x-switchyard-node')).toBe('its-name')
  })

  it('asks only nodes with the model, and says so distinguishably when there is none', async () => {
    await join(says('x'), { name: 'n', model: 'org/other' })
    const error = await errorOf(hub.call())
    expect(error).toMatchObject({ status: 503, code: 'no_capacity', retryable: true })
    expect(error.message).toBe('No node serves m now.')
    expect(await (await hub.call({ query: { model: 'org/other' } })).text()).toBe('x')
  })

  it('corrects the cached list when a hub refuses', async () => {
    const client = await join(says('x'), { name: 'gone' })
    expect(await hub.nodes()).toHaveLength(1)
    client.stop()
    while ((await hub.call()).ok) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await hub.nodes('?cached=1')).toEqual([])
  })

  it('sends the path of the dialect', async () => {
    await join(async (request) => new Response(new URL(request.url).pathname), { name: 'n' })
    expect(await (await hub.call()).text()).toBe('/v1/responses')
    const chat = await hub.call({ query: { dialect: 'chat' } })
    expect(await chat.text()).toBe('/v1/chat/completions')
  })

  it('keeps to a pinned node', async () => {
    await join(says('a'), { name: 'a', slots: 1 })
    await join(says('b'), { name: 'b', slots: 64 })
    expect(await (await hub.call({ query: { node: 'a' } })).text()).toBe('a')
    expect(await errorOf(hub.call({ query: { node: 'c' } }))).toMatchObject({ code: 'no_capacity' })
  })
})

describe('a node that says no', () => {
  const busy: Handler = async () =>
    Response.json(
      { error: { message: 'queue full' } },
      { status: 503, headers: { 'retry-after': '7' } },
    )

  it.each([429, 502, 503])('with %i is passed over for one with room', async (status) => {
    await join(async () => new Response('no', { status }), { name: 'busy', slots: 64 })
    await join(says('room'), { name: 'room', slots: 1 })
    expect(await (await hub.call()).text()).toBe('room')
  })

  it('is quoted with its Retry-After when all are full', async () => {
    await join(busy, { name: 'busy' })
    expect(await errorOf(hub.call())).toMatchObject({
      status: 503,
      code: 'no_capacity',
      message: 'queue full',
      retryAfter: '7',
      retryable: true,
    })
  })

  it('is not even asked when its status shows a full queue', async () => {
    let asked = 0
    await join(
      async () => {
        asked++
        return new Response('x')
      },
      { name: 'full', slots: 1, status: () => ({ running: 1, waiting: 2, queue_limit: 2 }) },
    )
    await hub.until(([node]) => node?.waiting === 2)
    expect(await errorOf(hub.call())).toMatchObject({ code: 'no_capacity', retryAfter: '2' })
    expect(asked).toBe(0)
  })

  it.each([
    [
      400,
      { code: 'context_length_exceeded', param: 'input' },
      400,
      'context_length_exceeded',
      false,
    ],
    [404, { code: 'model_not_found' }, 404, 'model_not_found', true],
    [401, { code: 'invalid_api_key' }, 502, 'provider_auth', true],
    [500, { code: 'server_error' }, 502, 'upstream_error', true],
    [500, { code: 'structured_output_invalid' }, 502, 'structured_output_invalid', false],
    [500, { code: 'tool_choice_not_met' }, 502, 'tool_choice_not_met', false],
  ])('with %i becomes an error of ours', async (status, error, ours, code, retryable) => {
    await join(async () => Response.json({ error: { message: 'why', ...error } }, { status }), {
      name: 'n',
    })
    const seen = await errorOf(hub.call())
    expect(seen).toMatchObject({ status: ours, code, retryable })
    if ('param' in error) expect(seen).toMatchObject({ param: error.param, message: 'why' })
  })

  it('in no shape at all becomes an error of ours', async () => {
    await join(async () => new Response('<html>', { status: 500 }), { name: 'n' })
    expect(await errorOf(hub.call())).toMatchObject({ status: 502, code: 'upstream_error' })
  })

  it('by throwing tells nothing of its inside', async () => {
    await join(
      async () => {
        throw new Error('secret path')
      },
      { name: 'n' },
    )
    const error = await errorOf(hub.call())
    expect(error.code).toBe('upstream_error')
    expect(error.message).not.toContain('secret')
  })

  it('cannot pose as the hub', async () => {
    const headers = { 'x-switchyard-hub-error': 'model_not_here', 'x-switchyard-node': 'someone' }
    await join(async () => new Response('{}', { status: 400, headers }), { name: 'n' })
    expect(await errorOf(hub.call())).toMatchObject({ status: 400, code: 'invalid_request' })
  })
})

describe('a node that dies', () => {
  it('before it answered: the request moves, whole', async () => {
    const first = deferred<string>()
    const dying = await join(
      async (request) => {
        first.resolve(await request.text())
        return new Promise<Response>(() => {})
      },
      { name: 'dying', slots: 64 },
    )
    await join(async (request) => new Response(await request.text()), { name: 'other', slots: 1 })
    const body = { text: 'x'.repeat(400_000) }
    const answer = hub.call({ body })
    expect(JSON.parse(await first.promise)).toEqual(body)
    dying.stop()
    const response = await answer
    expect(await response.json()).toEqual(body)
    expect(response.headers.get('x-switchyard-node')).toBe('other')
  })

  it('before it answered, and no other is there: node_lost, which another candidate may take', async () => {
    const arrived = deferred()
    const dying = await join(
      async () => {
        arrived.resolve()
        return new Promise<Response>(() => {})
      },
      { name: 'dying' },
    )
    const answer = errorOf(hub.call())
    await arrived.promise
    dying.stop()
    expect(await answer).toMatchObject({ status: 502, code: 'node_lost', retryable: true })
  })

  it('pinned, before it answered: never another', async () => {
    const arrived = deferred()
    const dying = await join(
      async () => {
        arrived.resolve()
        return new Promise<Response>(() => {})
      },
      { name: 'dying' },
    )
    await join(says('other'), { name: 'other' })
    const answer = errorOf(hub.call({ query: { node: 'dying' } }))
    await arrived.promise
    dying.stop()
    expect(await answer).toMatchObject({ code: 'node_lost' })
  })

  it('in mid-stream: the stream breaks off and does not begin anew elsewhere', async () => {
    const dying = await holding({ name: 'dying', slots: 64 })
    let asked = 0
    await join(
      async () => {
        asked++
        return new Response('other')
      },
      { name: 'other', slots: 1 },
    )
    const response = await hub.call({ query: { pump: '1' } })
    const reader = response.body!.getReader()
    dying.source.write('begun')
    await expectNext(reader, 'begun')
    dying.client.stop()
    await expect(reader.read()).rejects.toThrow(/connection closed/)
    expect(asked).toBe(0)
  })

  it('and comes back is used again', async () => {
    const dying = await join(says('before'), { name: 'phoenix' })
    expect(await (await hub.call()).text()).toBe('before')
    dying.stop()
    await hub.until((nodes) => nodes.length === 0)
    await join(says('after'), { name: 'phoenix' })
    expect(await (await hub.call()).text()).toBe('after')
  })
})

describe('a node that drains', () => {
  it('ends what it has and gets nothing new', async () => {
    const leaving = await holding({ name: 'leaving', slots: 64 })
    const response = await hub.call()
    const drained = leaving.client.drain()
    await hub.until((nodes) => nodes.some(({ draining }) => draining))
    expect(await errorOf(hub.call())).toMatchObject({ code: 'no_capacity' })
    await join(says('other'), { name: 'other', slots: 1 })
    expect(await (await hub.call()).text()).toBe('other')
    leaving.source.write('to the end')
    leaving.source.end()
    expect(await response.text()).toBe('to the end')
    await drained
    expect(leaving.arrived).toHaveLength(1)
  })
})
