// State end to end: the launcher, workerd, the tunnel and the demo model, and what a restart of all of it leaves.
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventsIn } from '../contract/store.ts'
import { checkOrder } from '../oracle/order.ts'
import { startUp, type Up, until } from './up.ts'

let up: Up
beforeAll(async () => {
  up = await startUp()
})
afterAll(async () => {
  if (up === undefined) return
  await up.stop()
  rmSync(up.folder, { recursive: true, force: true })
})

type Json = Record<string, unknown> & { id: string }
const model = 'switchyard/demo'

async function post(path: string, body: object): Promise<Json> {
  const response = await fetch(`${up.base}/v1${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, ...body }),
  })
  expect(response.status).toBe(200)
  return (await response.json()) as Json
}

const get = async (path: string) => (await (await fetch(`${up.base}/v1${path}`)).json()) as Json

it('keeps chains, background work and their events over a restart of everything', async () => {
  const first = await post('/responses', { input: 'Hello' })
  expect(first).toMatchObject({ status: 'completed', store: true })
  const queued = await post('/responses', {
    input: 'What are you?',
    previous_response_id: first.id,
    background: true,
  })
  const done = await until(async () => {
    const response = await get(`/responses/${queued.id}`)
    return response.status === 'completed' ? response : undefined
  })
  const whole = await (await fetch(`${up.base}/v1/responses/${queued.id}?stream=true`)).text()
  expect(checkOrder(eventsIn(whole))).toEqual([])
  expect(eventsIn(whole).at(-1)?.response).toEqual(done)

  const asked = { input: 'What are you?', previous_response_id: first.id }
  const counted = await post('/responses/input_tokens', asked)
  const { input_tokens } = done.usage as { input_tokens: number }
  expect(counted).toEqual({ object: 'response.input_tokens', input_tokens })

  const { folder } = up
  await up.stop()
  up = await startUp({ folder })
  expect(await get(`/responses/${queued.id}`)).toEqual(done)
  const again = await fetch(`${up.base}/v1/responses/${queued.id}?stream=true&starting_after=1`)
  expect(await again.text()).toBe(
    whole
      .split(/(?<=\n\n)/)
      .slice(2)
      .join(''),
  )
  const next = await post('/responses', { input: 'Thanks', previous_response_id: queued.id })
  expect(next).toMatchObject({ status: 'completed', previous_response_id: queued.id })
})
