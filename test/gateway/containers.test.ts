// The Containers API through the real Worker, hub and tunnel to nodes with the real Python: whose containers are whose, and what
// becomes of them when nodes come and go.
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNodeApi } from '../../native-node/server/local-api.ts'
import { noBackend } from '../../native-node/server/no-backend.ts'
import { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import { createToolHost, type ToolHost } from '../../native-node/tools/host.ts'
import { createPythonTool } from '../../native-node/tools/python/index.ts'
import { deferred } from '../contract/channel.ts'
import { calling, containersContract, errorOf } from '../contract/containers.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { startUpstream, type TestUpstream } from './upstream.ts'

const keys = { acme: 'sy_acme-key-0123456789', other: 'sy_other-key-0123456789' }
const tokens = { acme: 'node-token-of-acme', other: 'node-token-of-other' }

interface Stage {
  gateway: TestGateway
  upstream: TestUpstream
  stop(): Promise<void>
}

async function startStage(): Promise<Stage> {
  const upstream = await startUpstream()
  const groq = { baseUrl: `${upstream.origin}/v1`, models: { 'house/model': 'model' } }
  const gateway = await startGateway({
    config: { providers: { groq } },
    bindings: {
      SWITCHYARD_KEYS: JSON.stringify(keys),
      SWITCHYARD_NODE_TOKEN: JSON.stringify(tokens),
      GROQ_API_KEY: 'gsk_t',
    },
  })
  return {
    gateway,
    upstream,
    async stop() {
      await gateway.stop()
      await upstream.stop()
    },
  }
}

interface Node {
  tools: ToolHost
  /** Cuts the line and dials no more; the host lives on. */
  leave(): void
  stop(): Promise<void>
}

async function join(
  { gateway }: Stage,
  tenant: keyof typeof tokens,
  name: string,
  options: { tools?: ToolHost; features?: (host: ToolHost) => readonly string[] } = {},
): Promise<Node> {
  const tools =
    options.tools ??
    createToolHost({ tools: [createPythonTool({ maxSessions: 6, memoryMiB: 1024 })] })
  const features = (options.features ?? ((host) => host.features))(tools)
  const api = createNodeApi({ backend: noBackend(), tools })
  const joined = deferred()
  const client = new TunnelClient({
    gateway: gateway.url,
    token: tokens[tenant],
    hello: () => ({ node: name, models: [], slots: 1, tools: [...features] }),
    status: () => api.status(),
    handle: api.handle,
    log: () => {},
    onState: (state) => {
      if (state === 'joined') joined.resolve()
    },
  })
  client.start()
  await joined.promise
  return {
    tools,
    leave: () => client.stop(),
    async stop() {
      client.stop()
      await tools.close()
      // Until the hub has seen it.
      await new Promise((done) => setTimeout(done, 250))
    },
  }
}

containersContract('the gateway', async () => {
  const stage = await startStage()
  const node = await join(stage, 'acme', 'tooler')
  return {
    base: stage.gateway.url,
    key: keys.acme,
    model: 'house/model',
    upstream: stage.upstream,
    async stop() {
      await node.stop()
      await stage.stop()
    },
  }
})

describe('containers and their nodes', () => {
  let stage: Stage
  let acme: OpenAI
  let other: OpenAI
  beforeAll(async () => {
    stage = await startStage()
    const baseURL = `${stage.gateway.url}/v1`
    acme = new OpenAI({ baseURL, apiKey: keys.acme, maxRetries: 0 })
    other = new OpenAI({ baseURL, apiKey: keys.other, maxRetries: 0 })
  })
  afterAll(() => stage.stop())

  const text = async (client: OpenAI, container_id: string, file: string) => {
    const response = await client.containers.files.content.retrieve(file, { container_id })
    return response.text()
  }
  const put = async (client: OpenAI, id: string, name: string) =>
    client.containers.files.create(id, { file: await toFile(Buffer.from(name), name) })

  it('belong to one tenant: to another it is as if they had never been', async () => {
    // Both tenants have a node of the same name.
    const mine = await join(stage, 'acme', 'node')
    const theirs = await join(stage, 'other', 'node')
    const { id } = await acme.containers.create({ name: 'secret' })
    const { id: file } = await put(acme, id, 'a.txt')
    const forged = id.replace(/[0-9a-f]{12}$/, '000000000000')
    const at = { container_id: id }
    for (const work of [
      () => other.containers.retrieve(id),
      () => other.containers.delete(id),
      () => other.containers.files.list(id),
      () => put(other, id, 'b.txt'),
      () => other.containers.files.content.retrieve(file, at),
      () => other.containers.files.delete(file, at),
    ]) {
      expect((await errorOf(work())).status).toBe(404)
    }
    const shape = async (id: string) => {
      const { status, message } = await errorOf(other.containers.retrieve(id))
      return [status, message.replace(id, 'ID')]
    }
    expect(await shape(id)).toEqual(await shape(forged))
    expect((await other.containers.list()).data).toEqual([])
    expect((await acme.containers.list()).data.map((each) => each.id)).toEqual([id])
    for (const made of [
      'cntr_',
      'cntr_x',
      'cntr_node:',
      'cntr_node:x',
      'cntr_../node:x',
      `${id}:x`,
    ]) {
      const error = await errorOf(acme.containers.retrieve(made))
      expect(error.status).toBe(404)
    }
    calling(stage.upstream, ["open('a.txt').read()"])
    const run = (client: OpenAI) =>
      client.responses.create({
        model: 'house/model',
        input: 'Hi',
        tools: [{ type: 'code_interpreter', container: id }],
      })
    expect(await errorOf(run(other))).toMatchObject({ status: 404, param: 'tools[0].container' })
    expect((await run(acme)).output[0]).toMatchObject({ outputs: [{ logs: "'a.txt'\n" }] })
    await mine.stop()
    await theirs.stop()
  }, 30_000)

  it('are found at their own node among several, and listed from all', async () => {
    const nodes = [await join(stage, 'acme', 'one'), await join(stage, 'acme', 'two')]
    const ids: string[] = []
    for (let n = 0; n < 4; n++) ids.push((await acme.containers.create({ name: `c${n}` })).id)
    expect(new Set(ids.map((id) => id.split(':')[0]))).toEqual(new Set(['cntr_one', 'cntr_two']))
    for (const [n, id] of ids.entries()) {
      expect(await acme.containers.retrieve(id)).toMatchObject({ id, name: `c${n}` })
    }
    const listed = []
    for await (const { id } of acme.containers.list({ limit: 3 })) listed.push(id)
    expect(listed.sort()).toEqual([...ids].sort())
    for (const node of nodes) await node.stop()
  })

  it('are away with a node that loses its line, and there again when it is back', async () => {
    const node = await join(stage, 'acme', 'away')
    const { id } = await acme.containers.create({ name: 'kept' })
    const { id: file } = await put(acme, id, 'kept.txt')
    // So that the gateway has seen the node.
    await stage.gateway.ask('/v1/models', { headers: { authorization: `Bearer ${keys.acme}` } })
    node.leave()
    await expect
      .poll(async () => (await errorOf(acme.containers.retrieve(id))).status)
      .toBeGreaterThanOrEqual(404)
    const error = await errorOf(acme.containers.retrieve(id))
    expect([404, 503]).toContain(error.status)
    expect((await acme.containers.list()).data).toEqual([])
    const back = await join(stage, 'acme', 'away', { tools: node.tools })
    expect(await text(acme, id, file)).toBe('kept.txt')
    await back.stop()
    // Another of the same name is not the same.
    const fresh = await join(stage, 'acme', 'away')
    expect((await errorOf(acme.containers.retrieve(id))).status).toBe(404)
    await fresh.stop()
  }, 30_000)

  it('of a node of an older version: the API says so, and requests with its containers go on', async () => {
    const old = await join(stage, 'acme', 'old', { features: (host) => host.tools })
    const error = await errorOf(acme.containers.create({ name: 'x' }))
    expect(error.status).toBe(501)
    expect(error.message).toContain("The node 'old' runs a version without the Containers API")
    calling(stage.upstream, ['6 * 7'])
    const ask = (container: string | { type: 'auto' }) =>
      acme.responses.create({
        model: 'house/model',
        input: 'Hi',
        tools: [{ type: 'code_interpreter', container }],
      })
    const [call] = (await ask({ type: 'auto' })).output
    if (call?.type !== 'code_interpreter_call') throw new Error('no call')
    expect(call.outputs).toEqual([{ type: 'logs', logs: '42\n' }])
    calling(stage.upstream, ['_'])
    expect((await ask(call.container_id)).output[0]).toMatchObject({
      outputs: [{ logs: '42\n' }],
    })
    await old.stop()
  }, 30_000)

  it('need a node: none is an error for a new one and an empty list', async () => {
    expect(await errorOf(acme.containers.create({ name: 'x' }))).toMatchObject({ status: 503 })
    expect((await acme.containers.list()).data).toEqual([])
  })

  it('an upload that its client breaks off leaves nothing, and the node lives', async () => {
    const node = await join(stage, 'acme', 'cut')
    const { id } = await acme.containers.create({ name: 'cut' })
    const boundary = 'x'
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n`
    const left = new AbortController()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(head)),
      async pull(controller) {
        controller.enqueue(new Uint8Array(100_000))
        await new Promise((done) => setTimeout(done, 5))
      },
    })
    const sent = fetch(`${stage.gateway.url}/v1/containers/${id}/files`, {
      method: 'POST',
      body,
      duplex: 'half',
      signal: left.signal,
      headers: {
        authorization: `Bearer ${keys.acme}`,
        'content-type': `multipart/form-data; boundary=${boundary}`,
      },
    } as RequestInit).catch(() => 'left')
    await new Promise((done) => setTimeout(done, 100))
    left.abort()
    expect(await sent).toBe('left')
    expect((await acme.containers.files.list(id)).data).toEqual([])
    await put(acme, id, 'whole.txt')
    expect((await acme.containers.files.list(id)).data).toHaveLength(1)
    await node.stop()
  })
})
