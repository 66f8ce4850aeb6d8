// `switchyard node --metrics-port`: a node has no API of its own, and yet can be watched.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { root, switchyard } from './run.ts'

let child: ChildProcess | undefined
afterEach(() => {
  child?.kill('SIGKILL')
})

const words = ['node', '--gateway', 'http://127.0.0.1:9', '--tools', 'code_interpreter']
const env = { SWITCHYARD_NODE_TOKEN: 'token' }

it('serves the page, whether or not a gateway is there', async () => {
  const entry = `${root}native-node/cli/index.ts`
  const node = spawn(process.execPath, [entry, ...words, '--metrics-port', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  })
  child = node
  const url = await new Promise<string>((resolve) => {
    let told = ''
    node.stderr.on('data', (piece) => {
      told += String(piece)
      const [, found] = /metrics: (\S+)\n/.exec(told) ?? []
      if (found !== undefined) resolve(found)
    })
  })
  const response = await fetch(url)
  expect(response.status).toBe(200)
  const page = await response.text()
  expect(page).toContain('\nswitchyard_requests_running 0\n')
  expect(page).toContain('\n# TYPE process_cpu_seconds_total counter\n')
  node.kill('SIGTERM')
  expect(await once(node, 'exit')).toEqual([0, null])
}, 30_000)

it('says before it loads anything that the port is taken', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const ran = await switchyard([...words, '--metrics-port', String(port)], { env })
  taken.close()
  expect(ran.code).toBe(1)
  expect(ran.stderr).toContain(
    `127.0.0.1:${port} is already in use. Choose another one with --metrics-port.`,
  )
}, 30_000)
