// The server over the real addon, with a small random model: its text is noise, which is what a parser must bear.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadNodeEngine, type NodeEngine } from '../../native-node/server/engine.ts'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { renderConversation } from '../../native-node/server/harmony-render.ts'
import { createNodeApi, type NodeApi, newId } from '../../native-node/server/local-api.ts'
import { control } from '../../native-node/server/vocabulary.ts'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import type { ResponseObject } from '../../src/protocol/responses.ts'
import { readEvents } from './read-events.ts'

const model = 'test/noise'
const cli = new URL('../../native-node/cli/index.ts', import.meta.url).pathname
let folder: string
let engine: NodeEngine
let api: NodeApi

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'switchyard-noise-'))
  const shape = '64,64,2,8,2,4,2,16,600'
  await promisify(execFile)(process.execPath, [cli, 'synth', '--shape', shape, '--out', folder])
  engine = await loadNodeEngine({ modelDir: folder, mode: 'exact', threads: 1, maxSequences: 4 })
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  api = createNodeApi({ backend })
}, 60_000)

afterAll(async () => {
  await engine?.close()
  await rm(folder, { recursive: true, force: true })
})

/** Runs to the token limit: whatever would end the answer is ruled out. */
function endless(fields: Record<string, unknown>) {
  const ending = [control.return, control.call, control.endOfText]
  const logit_bias = Object.fromEntries(
    ending.map((name) => [engine.vocabulary.special(name), -100]),
  )
  return { logit_bias, ...fields }
}

function post(fields: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
  const request = new Request('http://node/v1/responses', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, input: 'Hi', temperature: 1, max_output_tokens: 40, ...fields }),
    ...(signal ? { signal } : {}),
  })
  return api.handle(request)
}

function lastResponse(events: ResponsesEvent[]): ResponseObject {
  const last = events.at(-1)!
  if (!('response' in last)) throw new Error(`ended with ${last.type}`)
  return last.response as ResponseObject
}

/** What was said, without ids and times. */
function said(response: ResponseObject) {
  return {
    status: response.status,
    usage: response.usage?.output_tokens,
    output: response.output.map(({ id: _, ...item }) => ('name' in item ? item.name : item)),
  }
}

describe('the native tokenizer', () => {
  it('never makes a control token of text', () => {
    const { vocabulary } = engine
    for (const name of Object.values(control)) {
      expect(vocabulary.encode(name).some((id) => vocabulary.isSpecial(id))).toBe(false)
      expect(vocabulary.isSpecial(vocabulary.special(name))).toBe(true)
    }
    const { ids } = renderConversation([{ role: 'user', content: '<|end|>' }], vocabulary)
    expect(ids.filter((id) => vocabulary.isSpecial(id))).toHaveLength(4)
    expect(Buffer.concat(vocabulary.encode('é日🙂').map(vocabulary.tokenBytes)).toString()).toBe(
      'é日🙂',
    )
  })
})

describe('sequences', () => {
  // Long enough to be under way for a while, even on this small model.
  const length = 1500

  /** Steps of one sequence that only its token limit ends. */
  function generate(seed: number) {
    const prompt = engine.vocabulary.encode('x'.repeat(seed * 30))
    const ending = [control.return, control.call, control.endOfText]
    const logitBias = ending.map((name): [number, number] => [
      engine.vocabulary.special(name),
      -100,
    ])
    return engine.generate(prompt, { seed: BigInt(seed), maxTokens: length, logitBias })
  }

  it('run side by side, and each is what it is alone', async () => {
    const seeds = [1, 2, 3, 4]
    const run = async (seed: number, onStep: () => void = () => {}) => {
      const ids: number[] = []
      for await (const step of generate(seed)) {
        onStep()
        ids.push(...Array.from(step.ids))
      }
      return ids
    }
    const alone: number[][] = []
    for (const seed of seeds) alone.push(await run(seed))
    const order: number[] = []
    const together = await Promise.all(seeds.map((seed) => run(seed, () => order.push(seed))))
    expect(together).toEqual(alone)
    expect(together.map((ids) => ids.length)).toEqual(seeds.map(() => length))
    // Every sequence is under way before any has ended.
    const firstEnd = Math.min(...seeds.map((seed) => order.lastIndexOf(seed)))
    for (const seed of seeds) expect(order.indexOf(seed)).toBeLessThan(firstEnd)
  })

  it('give their tokens while they still run', async () => {
    for await (const step of generate(1)) {
      expect(step.finish).toBeUndefined()
      expect(step.ids.length).toBeLessThan(length)
      expect(engine.load().running).toBe(1)
      break
    }
    await expect.poll(() => engine.load().running).toBe(0)
  })
})

describe('answers of the native engine', () => {
  it('are well formed whatever the model says', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const events = await readEvents(await post({ seed, stream: true, top_logprobs: 2 }))
      const response = lastResponse(events)
      expect(['completed', 'incomplete']).toContain(response.status)
      expect(response.usage?.output_tokens).toBeLessThanOrEqual(40)
      const whole = (await (await post({ seed })).json()) as ResponseObject
      expect(said(whole).status).toBe(response.status)
      expect(whole.usage?.output_tokens).toBe(response.usage?.output_tokens)
    }
  })

  it('repeat themselves with a seed, and vary without', async () => {
    const run = async (fields: Record<string, unknown>) =>
      said(lastResponse(await readEvents(await post(endless({ ...fields, stream: true })))))
    const a = await run({ seed: 1 })
    expect(await run({ seed: 1 })).toEqual(a)
    expect(await run({ seed: 2 })).not.toEqual(a)
    const free = await Promise.all([run({}), run({})])
    expect(free[0]).not.toEqual(free[1])
    const greedy = await Promise.all([run({ temperature: 0 }), run({ temperature: 0 })])
    expect(greedy[0]).toEqual(greedy[1])
  })

  it('free their place when the client goes, before and amid the answer', async () => {
    for (const streamed of [true, false]) {
      const abort = new AbortController()
      const fields = endless({ stream: streamed, max_output_tokens: 2000 })
      const answering = post(fields, abort.signal).then((response) => response.text())
      await expect.poll(() => engine.load().running).toBe(1)
      abort.abort()
      await answering.catch(() => {})
      await expect.poll(() => engine.load().running).toBe(0)
    }
    expect((await post({})).status).toBe(200)
  })

  it('wait for a place when all are taken, and move up', async () => {
    const aborts = Array.from({ length: 6 }, () => new AbortController())
    const answers = aborts.map(({ signal }) => post(endless({ max_output_tokens: 1e6 }), signal))
    await expect.poll(() => engine.load()).toMatchObject({ running: 4, waiting: 2 })
    for (const abort of aborts.slice(0, 2)) abort.abort()
    await expect.poll(() => engine.load()).toMatchObject({ running: 4, waiting: 0 })
    for (const abort of aborts) abort.abort()
    await Promise.allSettled(answers)
    await expect.poll(() => engine.load()).toMatchObject({ running: 0, waiting: 0 })
  })

  it('are refused for a prompt longer than the context', async () => {
    const response = await post({ input: 'word '.repeat(engine.contextLength) })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      error: { code: 'context_length_exceeded', param: 'input' },
    })
  })

  it('say what is wrong with a logit_bias', async () => {
    const response = await post({ logit_bias: { 600: 1 } })
    expect(await response.json()).toMatchObject({ error: { param: 'logit_bias' } })
  })
})

describe('a folder that is no model', () => {
  it('is an error, not an end', async () => {
    await expect(loadNodeEngine({ modelDir: tmpdir() })).rejects.toMatchObject({
      code: 'not_found',
    })
  })
})
