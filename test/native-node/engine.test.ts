import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NativeEngineInfo } from '../../native-node/server/binding.ts'
import { loadNodeEngine } from '../../native-node/server/engine.ts'
import type { GenerateParams } from '../../native-node/server/generate-params.ts'
import type { GenerationStep } from '../../native-node/server/sequence.ts'
import { byteTokenizer, FakeNativeEngine, fakeAddon } from './fake-native.ts'

let modelDir: string
beforeEach(async () => {
  modelDir = await mkdtemp(join(tmpdir(), 'switchyard-model-'))
  await file('config.json', { eos_token_id: 261 })
})
afterEach(() => rm(modelDir, { recursive: true }))

async function file(name: string, content: unknown) {
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  await writeFile(join(modelDir, name), text)
}

async function load(
  info?: Partial<NativeEngineInfo>,
  queueLimit?: number,
  specials?: Record<string, number>,
) {
  const native = new FakeNativeEngine(info)
  const options = {
    modelDir,
    addon: fakeAddon(native, byteTokenizer(specials)),
    ...(queueLimit === undefined ? {} : { queueLimit }),
  }
  return { native, engine: await loadNodeEngine(options) }
}

async function collect(steps: AsyncIterable<GenerationStep>) {
  const all: number[][] = []
  for await (const step of steps) all.push(Array.from(step.ids))
  return all
}

const ids = (...values: number[]) => Int32Array.from(values)

describe('generation', () => {
  it('delivers each sequence its own steps, as they come', async () => {
    const { native, engine } = await load()
    const first = collect(engine.generate([1, 2], {}))
    const second = collect(engine.generate([3], {}))
    native.deliver({ sequence: 1, ids: ids(10) }, { sequence: 2, ids: ids(20, 21) })
    native.deliver({ sequence: 2, ids: ids(22), finish: 'stop' })
    native.deliver({ sequence: 1, ids: ids(11), finish: 'length' })
    expect(await first).toEqual([[10], [11]])
    expect(await second).toEqual([[20, 21], [22]])
    expect(native.cancelled).toEqual([])
  })

  it('stops at what the files say and at the control tokens, and never picks a reserved id', async () => {
    // 257 is `<|end|>`, which every thought has.
    await file('config.json', { eos_token_id: [261, 5, 257] })
    await file('generation_config.json', { eos_token_id: 6 })
    const { native, engine } = await load()
    engine.generate([1], {})
    const [request] = native.submitted
    expect([...request!.stopIds].sort((a, b) => a - b)).toEqual([5, 6, 261, 262, 263])
    // 264 is reserved; the model has 300 rows and the tokenizer 265 ids.
    expect([...request!.neverIds!]).toEqual([264, ...Array.from({ length: 35 }, (_, i) => 265 + i)])
  })

  it('keeps penalties off the tokens that frame messages', async () => {
    const { native, engine } = await load()
    engine.generate([1], { frequencyPenalty: 2, presencePenalty: 2, repetitionPenalty: 1.5 })
    const [request] = native.submitted
    expect(request).toMatchObject({ frequencyPenalty: 2, repetitionPenalty: 1.5 })
    expect([...request!.unpenalizedIds!].sort((a, b) => a - b)).toEqual([
      256, 257, 258, 259, 260, 261, 262, 263,
    ])
  })

  it('leaves out of them what the vocabulary lacks', async () => {
    const { native, engine } = await load({}, undefined, {
      '<|start|>': 256,
      '<|end|>': 257,
      '<|message|>': 258,
      '<|channel|>': 259,
      '<|constrain|>': 260,
      '<|return|>': 261,
      '<|call|>': 262,
    })
    engine.generate([1], {})
    expect([...native.submitted[0]!.unpenalizedIds!]).not.toContain(-1)
  })

  it.each([
    [{}, {}, { temperature: 1, topP: 1, topK: 0, minP: 0 }],
    [{ do_sample: false, temperature: 0.7 }, {}, { temperature: 0 }],
    [
      { do_sample: true, temperature: 0.7, top_p: 0.9, top_k: 40 },
      {},
      { temperature: 0.7, topP: 0.9, topK: 40 },
    ],
    [{ do_sample: false }, { temperature: 0.5, topK: 3 }, { temperature: 0.5, topK: 3 }],
  ])('generation_config %j and request %j give %j', async (config, params, expected) => {
    await file('generation_config.json', config)
    const { native, engine } = await load()
    engine.generate([1], params)
    expect(native.submitted[0]).toMatchObject(expected)
  })

  it('fits the answer into what the prompt leaves', async () => {
    const { native, engine } = await load({ maxContext: 10 })
    engine.generate([1, 2, 3], {})
    engine.generate([1, 2, 3], { maxTokens: 4 })
    engine.generate([1, 2, 3], { maxTokens: 1000 })
    expect(native.submitted.map(({ maxTokens }) => maxTokens)).toEqual([7, 4, 7])
  })

  it('draws another seed for each request that names none', async () => {
    const { native, engine } = await load()
    engine.generate([1], {})
    engine.generate([1], {})
    engine.generate([1], { seed: 7n })
    const [a, b, c] = native.submitted.map(({ seed }) => seed)
    expect(a).not.toBe(b)
    expect(c).toBe(7n)
  })
})

describe('refusals', () => {
  it('of a prompt that leaves no room, with the numbers', async () => {
    const { native, engine } = await load({ maxContext: 4 })
    expect(() => engine.generate([1, 2, 3, 4], {})).toThrow(
      expect.objectContaining({
        code: 'context_length_exceeded',
        param: 'input',
        message: expect.stringMatching(/length is 4 tokens.*input has 4 tokens/),
      }),
    )
    expect(native.submitted).toEqual([])
  })

  it('of a prompt that the cache could never hold', async () => {
    const { engine } = await load({ maxContext: 100, kvTokens: 8 })
    expect(engine.contextLength).toBe(8)
    expect(() => engine.generate(new Array(9).fill(1), {})).toThrow(/8 tokens/)
  })

  it('once the queue is full, until a sequence has ended', async () => {
    const { native, engine } = await load({ maxSequences: 2 }, 1)
    for (let i = 0; i < 3; i++) engine.generate([1], {})
    expect(engine.load()).toMatchObject({ running: 2, waiting: 1, slots: 2, queueLimit: 1 })
    expect(() => engine.generate([1], {})).toThrow(
      expect.objectContaining({ code: 'no_capacity', status: 503, retryable: true, retryAfter: 1 }),
    )
    native.deliver({ sequence: 2, finish: 'stop' })
    expect(engine.load()).toMatchObject({ running: 2, waiting: 0 })
    engine.generate([1], {})
  })

  it.each<[GenerateParams, string]>([
    [{ temperature: Number.NaN }, 'temperature'],
    [{ temperature: -1 }, 'temperature'],
    [{ topP: 1.5 }, 'top_p'],
    [{ topK: 1.5 }, 'top_k'],
    [{ minP: Number.POSITIVE_INFINITY }, 'min_p'],
    [{ maxTokens: 0 }, 'max_output_tokens'],
    [{ topLogprobs: 21 }, 'top_logprobs'],
    [{ frequencyPenalty: 3 }, 'frequency_penalty'],
    [{ repetitionPenalty: 0 }, 'repetition_penalty'],
    [{ logitBias: [[300, 1]] }, 'logit_bias'],
    [{ logitBias: [[Number.NaN, 1]] }, 'logit_bias'],
    [{ logitBias: [[1, 101]] }, 'logit_bias'],
  ])('of %j name %s', async (params, param) => {
    const { native, engine } = await load()
    expect(() => engine.generate([1], params)).toThrow(
      expect.objectContaining({ code: 'invalid_value', param }),
    )
    expect(native.submitted).toEqual([])
  })

  it('by the engine keep their meaning', async () => {
    const { native, engine } = await load()
    native.submitError = Object.assign(new Error('an id is outside'), { code: 'invalid_argument' })
    expect(() => engine.generate([1], {})).toThrow(
      expect.objectContaining({ code: 'invalid_value', message: 'an id is outside' }),
    )
  })
})

describe('ends', () => {
  it('an aborted sequence at once, and frees its place when the engine says so', async () => {
    const { native, engine } = await load()
    const abort = new AbortController()
    const steps = collect(engine.generate([1], {}, abort.signal))
    native.deliver({ sequence: 1, ids: ids(10) })
    abort.abort()
    await expect(steps).rejects.toMatchObject({ name: 'AbortError' })
    expect(native.cancelled).toEqual([1])
    expect(engine.load().running).toBe(1)
    native.deliver({ sequence: 1, finish: 'cancelled' })
    expect(engine.load().running).toBe(0)
  })

  it('a sequence that nobody has begun to read, when it is aborted', async () => {
    const { native, engine } = await load()
    const abort = new AbortController()
    engine.generate([1], {}, abort.signal)
    abort.abort()
    expect(native.cancelled).toEqual([1])
  })

  it('a sequence whose iteration is left', async () => {
    const { native, engine } = await load()
    const steps = engine.generate([1], {})
    native.deliver({ sequence: 1, ids: ids(10) }, { sequence: 1, ids: ids(11) })
    for await (const _ of steps) break
    expect(native.cancelled).toEqual([1])
  })

  it('nothing twice: an end that came by itself is not cancelled', async () => {
    const { native, engine } = await load()
    const abort = new AbortController()
    const steps = collect(engine.generate([1], {}, abort.signal))
    native.deliver({ sequence: 1, ids: ids(10), finish: 'stop' })
    await steps
    abort.abort()
    expect(native.cancelled).toEqual([])
  })

  it('with what came before an error of the engine', async () => {
    const { native, engine } = await load()
    const seen: number[] = []
    const read = async () => {
      for await (const step of engine.generate([1], {})) seen.push(...Array.from(step.ids))
    }
    const reading = read()
    native.deliver({ sequence: 1, ids: ids(10) })
    native.deliver({
      sequence: 1,
      finish: 'error',
      error: { code: 'internal', message: 'secret detail' },
    })
    await expect(reading).rejects.toMatchObject({
      code: 'server_error',
      message: expect.not.stringContaining('secret'),
    })
    expect(seen).toEqual([10])
  })

  it('everything when the engine is closed', async () => {
    const { native, engine } = await load()
    const steps = collect(engine.generate([1], {}))
    await engine.close()
    await expect(steps).rejects.toMatchObject({ code: 'no_capacity', retryable: true })
    expect(native.closed).toBe(true)
  })
})

describe('loading', () => {
  it('says what is wrong with a folder', async () => {
    await rm(join(modelDir, 'config.json'))
    await expect(load()).rejects.toMatchObject({ code: 'not_found' })
    await symlink('../blobs/gone', join(modelDir, 'config.json'))
    await expect(load()).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('a link to ../blobs/gone, which is not there'),
    })
    await rm(join(modelDir, 'config.json'))
    await mkdir(join(modelDir, 'config.json'))
    await expect(load()).rejects.toMatchObject({ message: expect.stringMatching(/regular file/) })
    await rm(join(modelDir, 'config.json'), { recursive: true })
    execFileSync('mkfifo', [join(modelDir, 'config.json')])
    await expect(load()).rejects.toMatchObject({ message: expect.stringMatching(/regular file/) })
    await rm(join(modelDir, 'config.json'))
    await file('config.json', '{')
    await expect(load()).rejects.toMatchObject({ code: 'invalid_file' })
    await file('config.json', { eos_token_id: 'x' })
    await expect(load()).rejects.toMatchObject({
      code: 'invalid_file',
      message: expect.stringContaining('eos_token_id'),
    })
  })

  it.each([-1, 2 ** 31])('refuses %i as the end of a text, and frees the weights', async (id) => {
    await file('generation_config.json', { eos_token_id: [id] })
    const native = new FakeNativeEngine()
    await expect(loadNodeEngine({ modelDir, addon: fakeAddon(native) })).rejects.toMatchObject({
      code: 'invalid_file',
      message: expect.stringContaining(`eos_token_id ${id}`),
    })
    expect(native.closed).toBe(true)
  })

  it('refuses a tokenizer that is not of this model, and frees the weights', async () => {
    for (const tokenizer of [byteTokenizer({ '<|start|>': 256 }), byteTokenizer({ x: 400 })]) {
      const native = new FakeNativeEngine()
      const addon = fakeAddon(native, tokenizer)
      await expect(loadNodeEngine({ modelDir, addon })).rejects.toMatchObject({
        code: 'unsupported',
      })
      expect(native.closed).toBe(true)
    }
  })
})
