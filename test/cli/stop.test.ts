// How commands end: at a signal, whatever they are doing, and a node with the launcher that started it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { until } from '../e2e/up.ts'
import { root } from './run.ts'

/** Takes connections and says nothing: what a node dials. */
let gateway: Server
let port = 0
let dialled: () => void = () => {}
const children: ChildProcess[] = []

beforeAll(async () => {
  gateway = createServer((socket) => {
    socket.on('error', () => {})
    dialled()
  })
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve))
  const address = gateway.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => gateway.close())

/** A node of tools alone, started as `switchyard up` starts its own, and how it ends. */
function launch() {
  const entry = `${root}native-node/cli/index.ts`
  const words = ['node', '--gateway', `http://127.0.0.1:${port}`, '--tools', 'code_interpreter']
  const child = spawn(process.execPath, [entry, ...words], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, SWITCHYARD_NODE_TOKEN: 'token' },
  })
  children.push(child)
  const ended = new Promise((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code)),
  )
  const dials = new Promise<void>((resolve) => {
    dialled = resolve
  })
  return { child, ended, dials }
}

/** A command that has said that it is ready, started by a shell that does something before. */
async function ready(words: string[], before = '') {
  const script = `${before} exec "$@"`
  const child = spawn('sh', ['-c', script, 'sh', `${root}bin/switchyard`, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  let log = ''
  child.stderr.on('data', (piece: Buffer) => {
    log += piece.toString()
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const url = await until(async () => /ready: (\S+)/.exec(log)?.[1])
  return { child, ended, url }
}

it('ends at SIGTERM, though the launcher still holds the channel', async () => {
  const { child, ended, dials } = launch()
  await dials
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
}, 30_000)

it('ends with its launcher', async () => {
  const { child, ended, dials } = launch()
  await dials
  child.disconnect()
  expect(await ended).toBe(0)
}, 30_000)

it('ends when the launcher went before it could listen', async () => {
  const { child, ended } = launch()
  child.disconnect()
  expect(await ended).toBe(0)
}, 30_000)

it('a server takes no more requests, and lets those under way finish', async () => {
  const chunk = (content: string) =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`
  let finish = () => {}
  const engine = createHttpServer((request, response) => {
    if (request.url?.endsWith('/models')) {
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model' }] }))
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chunk('one '))
    const end = { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }
    finish = () => response.end(`${chunk('two')}data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`)
  })
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve))
  const { port: enginePort } = engine.address() as AddressInfo
  const words = ['serve', '--upstream', `http://127.0.0.1:${enginePort}/v1`, '--as', 'a/m']
  const { child, ended, url } = await ready([...words, '--port', '0', '--store', ':memory:'])
  const response = await fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'a/m',
      stream: true,
      messages: [{ role: 'user', content: 'Count.' }],
    }),
  })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = (await reader?.read())?.value ?? ''
  child.kill('SIGTERM')
  const isRefused = () =>
    fetch(`${url}/models`, { headers: { connection: 'close' } }).then(
      () => undefined,
      () => true,
    )
  await until(isRefused)
  finish()
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read())
    text += read.value
  expect(text).toContain('two')
  expect(text).toContain('[DONE]')
  expect(await ended).toBe(0)
  engine.close()
}, 30_000)

it('goes on under nohup when the terminal is closed', async () => {
  const { child, ended, url } = await ready(['tools', '--mcp', '--http', '0'], 'trap "" HUP;')
  child.kill('SIGHUP')
  for (let asked = 0; asked < 3; asked++) {
    const response = await fetch(new URL('/', url), { headers: { connection: 'close' } })
    expect(response.status).toBe(404)
  }
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
}, 30_000)

const namespaces = ['--pid', '--fork', '--mount-proc']
const canUnshare = spawnSync('unshare', [...namespaces, 'true']).status === 0

// Only who may make a namespace of processes can be the first one in it.
it.runIf(canUnshare)(
  'as the first process of a container ends at a signal, also before it has anything to end',
  async () => {
    const words = ['tokenize', '--model', `${root}models/demo`]
    // It waits for its input.
    const outside = spawn('unshare', [...namespaces, `${root}bin/switchyard`, ...words])
    children.push(outside)
    const ended = new Promise((resolve) => outside.once('exit', resolve))
    const inside = await until(async () => {
      const child = readFileSync(`/proc/${outside.pid}/task/${outside.pid}/children`, 'utf8')
      const caught = /^SigCgt:\s*(\w+)/m.exec(readFileSync(`/proc/${Number(child)}/status`, 'utf8'))
      // SIGHUP, which Node alone does not catch.
      return BigInt(`0x${caught?.[1]}`) & 1n ? Number(child) : undefined
    })
    process.kill(inside, 'SIGTERM')
    expect(await ended).toBe(143)
  },
  30_000,
)
