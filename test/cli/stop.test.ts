// How a node that a launcher started ends: at a signal and with its launcher, whatever it was doing.
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer, type Server } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
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
