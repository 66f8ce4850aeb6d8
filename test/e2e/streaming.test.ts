// Events reach the client while the engine still generates. The demo model is too quick to tell: here it runs on plain loops
// and one thread, joined by hand, so that an answer takes much longer than its way to the client.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { root } from '../cli/run.ts'
import { startUp, type Up, until } from './up.ts'

const token = 'token-of-the-slow-node'
let up: Up
let node: ChildProcess

beforeAll(async () => {
  up = await startUp({ words: ['--no-node'], env: { SWITCHYARD_NODE_TOKEN: token } })
  const words = [
    'node',
    '--gateway',
    up.base,
    '--model',
    join(root, 'models/demo'),
    '--as',
    'switchyard/slow',
    '--name',
    'slow',
  ]
  node = spawn(
    join(root, 'bin/switchyard'),
    [...words, '--mode', 'exact', '--isa', 'scalar', '--threads', '1'],
    {
      env: { ...process.env, SWITCHYARD_NODE_TOKEN: token },
      stdio: 'ignore',
    },
  )
  await until(async () => {
    const response = await fetch(`${up.base}/v1/models/switchyard/slow`)
    return response.ok ? true : undefined
  })
})

afterAll(async () => {
  node.kill('SIGKILL')
  await up.stop()
})

it('a second request is answered whole between the first and the last event of a long answer', async () => {
  const ask = (input: string, rest: object) =>
    fetch(`${up.base}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'switchyard/slow', input, ...rest }),
    })
  const long = await ask("Say 'over the hills and far away' twelve times fast.", {
    stream: true,
    max_output_tokens: 200,
  })
  const decoder = new TextDecoder()
  const order: string[] = []
  let short: Promise<void> | undefined
  let text = ''
  for await (const bytes of long.body ?? []) {
    text += decoder.decode(bytes, { stream: true })
    if (short === undefined && text.includes('response.output_text.delta')) {
      order.push('long answer has begun')
      short = ask('Hello', { max_output_tokens: 1 }).then(async (response) => {
        await response.text()
        order.push('short answer is whole')
      })
    }
  }
  order.push('long answer is whole')
  await short
  expect(order).toEqual(['long answer has begun', 'short answer is whole', 'long answer is whole'])
})
