// The addon from JavaScript: what binding.ts promises, down to the ends of processes and threads.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import {
  loadAddon,
  type NativeBenchCase,
  type NativeEngine,
  type NativeEngineOptions,
  type NativeGenerateRequest,
  type NativeTokenEvent,
} from '../../native-node/server/binding.ts'

const golden = fileURLToPath(new URL('../fixtures/golden/model/', import.meta.url))
const child = fileURLToPath(new URL('./addon-child.ts', import.meta.url))
const addon = loadAddon()

interface GoldenPrompt {
  ids: number[]
  logits: string
  greedy: number[]
}

function readGolden(name: string): GoldenPrompt[] {
  return JSON.parse(readFileSync(`${golden}${name}/golden.json`, 'utf8')).prompts
}

function readNpy(path: string): Float32Array {
  const file = readFileSync(path)
  const begin = 10 + file.readUInt16LE(8)
  return new Float32Array(file.buffer.slice(file.byteOffset + begin, file.byteOffset + file.length))
}

function request(
  prompt: number[],
  fields: Partial<NativeGenerateRequest> = {},
): NativeGenerateRequest {
  return {
    prompt: Int32Array.from(prompt),
    stopIds: new Int32Array(),
    maxTokens: 24,
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    seed: 0n,
    frequencyPenalty: 0,
    presencePenalty: 0,
    repetitionPenalty: 1,
    logitBias: [],
    topLogprobs: -1,
    ...fields,
  }
}

const open: NativeEngine[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((engine) => engine.close()))
})

async function load(options: Partial<NativeEngineOptions> = {}): Promise<NativeEngine> {
  const engine = await addon.loadEngine({
    modelPath: `${golden}tiny-a/hf`,
    mode: 'exact',
    ...options,
  })
  open.push(engine)
  return engine
}

/** Starts the engine and gathers events by sequence; `until(n)` waits for the n-th last event. */
function gather(engine: NativeEngine) {
  const events = new Map<number, NativeTokenEvent[]>()
  const batches: NativeTokenEvent[][] = []
  const waiters: { count: number; resolve: () => void }[] = []
  let ended = 0
  engine.start((batch) => {
    batches.push(batch)
    for (const event of batch) {
      events.set(event.sequence, [...(events.get(event.sequence) ?? []), event])
      if (event.finish) ended++
    }
    for (const waiter of waiters) if (ended >= waiter.count) waiter.resolve()
  })
  const ids = (sequence: number) =>
    (events.get(sequence) ?? []).flatMap((event) => Array.from(event.ids))
  const last = (sequence: number) => events.get(sequence)?.at(-1)
  const until = (count: number) =>
    new Promise<void>((resolve) => {
      if (ended >= count) resolve()
      else waiters.push({ count, resolve })
    })
  return { batches, events, ids, last, until }
}

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error
    return `${error.name} ${error.code}`
  }
  return 'no error'
}

describe('loading', () => {
  it('tells what it loaded, and its progress on the way', async () => {
    const fractions: number[] = []
    const engine = await addon.loadEngine(
      { modelPath: `${golden}tiny-b/hf`, mode: 'fast', isa: 'scalar', threads: 2, maxSequences: 3 },
      (fraction) => fractions.push(fraction),
    )
    open.push(engine)
    expect(engine.info).toMatchObject({
      isa: 'scalar',
      mode: 'fast',
      threads: 2,
      numHiddenLayers: 4,
      hiddenSize: 128,
      numExperts: 4,
      expertsPerToken: 4,
      vocabSize: 512,
      maxContext: 131072,
      maxSequences: 3,
      weightBytes: 2016608,
    })
    expect(fractions.every((value, i) => value > (fractions[i - 1] ?? 0) && value <= 1)).toBe(true)
  })

  it('keeps packed weights in a folder, and says what became of them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-packed-'))
    try {
      const load = async (fields: Partial<NativeEngineOptions> = {}) => {
        const engine = await addon.loadEngine({
          modelPath: `${golden}tiny-a/hf`,
          weightsCache: folder,
          ...fields,
        })
        open.push(engine)
        return engine.info.weightsCache
      }
      expect(await load({ weightsCache: '' })).toBe('')
      expect(await load()).toMatch(/^written to .*-tiled\.weights \(there was none\)$/)
      expect(await load()).toMatch(/^read from .*-tiled\.weights$/)
      const [name = ''] = readdirSync(folder)
      writeFileSync(join(folder, name), 'no weights')
      expect(await load()).toMatch(/^written to .* \(the old one was cut short\)$/)
      expect(await load({ mode: 'bf16' })).toBe('not used: mode bf16 packs nothing')
      expect(readdirSync(folder)).toEqual([name])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('rejects with a code when the model cannot be loaded', async () => {
    const failure = (options: object) =>
      codeOf(() => addon.loadEngine(options as NativeEngineOptions))
    expect(await failure({ modelPath: '/nonexistent' })).toBe('Error not_found')
    // A file is taken for GGUF.
    expect(await failure({ modelPath: fileURLToPath(import.meta.url) })).toBe('Error invalid_file')
    expect(await failure({ modelPath: `${golden}tiny-a/hf`, mode: 'quick' })).toBe(
      'Error invalid_argument',
    )
    expect(await failure({ modelPath: `${golden}tiny-a/hf`, isa: 'neon' })).toBe(
      process.arch === 'arm64' ? 'no error' : 'Error unsupported',
    )
    expect(await failure({ modelPath: `${golden}tiny-a/hf`, kvBytes: 1 })).toBe(
      'Error invalid_argument',
    )
  })

  it('answers malformed arguments with a TypeError', async () => {
    const call = addon as unknown as Record<string, (...args: unknown[]) => unknown>
    const options = { modelPath: `${golden}tiny-a/hf` }
    const calls: [string, ...unknown[]][] = [
      ['loadEngine'],
      ['loadEngine', null],
      ['loadEngine', {}],
      ['loadEngine', { modelPath: 7 }],
      ['loadEngine', { modelPath: 'a\0b' }],
      ['loadEngine', { ...options, threads: '2' }],
      ['loadEngine', { ...options, threads: 1.5 }],
      ['loadEngine', { ...options, threads: Number.NaN }],
      ['loadEngine', { ...options, maxSequences: 1e300 }],
      ['loadEngine', options, 'progress'],
      ['loadTokenizer'],
      ['loadGgufTokenizer'],
      ['loadTokenizer', {}],
      ['loadGgufTokenizer', {}],
      ['loadTiktoken', 'file'],
      ['loadTiktoken', 'file', { name: 'one' }],
      ['logits', options, [1, 2], 0],
      ['logits', options, new Int32Array(1), -1],
      ['logits', options, new Int32Array(1)],
      ['bench', { ...options, batch: [0] }],
      ['bench', { ...options, batch: 4 }],
    ]
    for (const [name, ...args] of calls)
      expect([name, args, await codeOf(() => call[name]?.(...args))]).toEqual([
        name,
        args,
        'TypeError invalid_argument',
      ])
  })
})

describe('logits', () => {
  it('equal those of transformers, however the prompt is fed', async () => {
    for (const name of ['tiny-a', 'odd']) {
      const options = { modelPath: `${golden}${name}/hf`, mode: 'exact' } as const
      for (const prompt of readGolden(name)) {
        const wanted = readNpy(`${golden}${name}/${prompt.logits}`)
        const whole = await addon.logits(options, Int32Array.from(prompt.ids), 0)
        expect([whole.rows, whole.rows * whole.columns]).toEqual([prompt.ids.length, wanted.length])
        const difference = wanted.reduce(
          (worst, value, i) => Math.max(worst, Math.abs(value - (whole.data[i] ?? Number.NaN))),
          0,
        )
        expect(difference).toBeLessThan(1e-3)
        const pieces = await addon.logits(options, Int32Array.from(prompt.ids), 3)
        expect(Buffer.from(pieces.data.buffer).equals(Buffer.from(whole.data.buffer))).toBe(true)
      }
    }
  })

  it('refuse ids outside the vocabulary', async () => {
    const options = { modelPath: `${golden}tiny-a/hf` }
    expect(await codeOf(() => addon.logits(options, Int32Array.of(1, 320), 0))).toBe(
      'Error invalid_argument',
    )
    expect(await codeOf(() => addon.logits(options, new Int32Array(), 0))).toBe(
      'Error invalid_argument',
    )
  })
})

describe('generation', () => {
  it('runs sequences side by side, each as if it were alone', async () => {
    const engine = await load()
    const { batches, ids, last, until } = gather(engine)
    const prompts = readGolden('tiny-a')
    const sequences = [...prompts, ...prompts].map((prompt) => engine.submit(request(prompt.ids)))
    await until(sequences.length)
    sequences.forEach((sequence, i) => {
      const prompt = prompts[i % prompts.length]
      expect(ids(sequence)).toEqual(prompt?.greedy)
      expect(last(sequence)).toMatchObject({
        finish: 'length',
        promptTokens: prompt?.ids.length,
        cachedTokens: 0,
      })
    })
    // One call a step, in many turns of the event loop, with several sequences in it.
    expect(batches.length).toBeGreaterThanOrEqual(24)
    expect(Math.max(...batches.map((batch) => batch.length))).toBeGreaterThan(1)
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, kvTokensUsed: 0 })
    expect(engine.stats().tokensGenerated).toBe(24 * sequences.length)
  })

  it('finds what a prompt has in common with an earlier one', async () => {
    const engine = await load()
    const { ids, last, until } = gather(engine)
    const prompt = Array.from({ length: 100 }, (_, i) => (i * 37) % 300)
    const first = engine.submit(request(prompt, { prefixEnds: Int32Array.of(70) }))
    await until(1)
    const again = engine.submit(request(prompt))
    await until(2)
    const other = engine.submit(request([...prompt.slice(0, 70), 5, 6, 7]))
    await until(3)
    expect(last(first)).toMatchObject({ cachedTokens: 0 })
    expect(last(again)).toMatchObject({ cachedTokens: 96 })
    expect(ids(again)).toEqual(ids(first))
    expect(last(other)).toMatchObject({ cachedTokens: 64 })
    expect(engine.stats()).toMatchObject({ kvTokensUsed: 0 })
  })

  it('stops, masks, biases and reports logprobs as asked', async () => {
    const engine = await load()
    const { ids, last, events, until } = gather(engine)
    const prompt = readGolden('tiny-a')[1]
    if (!prompt) throw new Error('golden prompt missing')
    const [first = 0, , third = 0] = prompt.greedy
    const stop = engine.submit(request(prompt.ids, { stopIds: Int32Array.of(third) }))
    const masked = engine.submit(request(prompt.ids, { neverIds: Int32Array.of(first) }))
    const biased = engine.submit(request(prompt.ids, { logitBias: [[7, 1000]], maxTokens: 3 }))
    const scored = engine.submit(request(prompt.ids, { topLogprobs: 3, maxTokens: 2 }))
    await until(4)
    expect(ids(stop)).toEqual(prompt.greedy.slice(0, 3))
    expect(last(stop)?.finish).toBe('stop')
    expect(ids(masked)[0]).not.toBe(first)
    expect(ids(biased)).toEqual([7, 7, 7])
    const logprobs = events.get(scored)?.flatMap((event) => event.logprobs ?? [])
    expect(logprobs).toHaveLength(2)
    expect(logprobs?.[0]?.top).toHaveLength(3)
    expect(logprobs?.[0]?.top[0]).toEqual([first, logprobs?.[0]?.logprob])
  })

  it('draws the same tokens from the same seed, however large', async () => {
    const engine = await load()
    const { ids, until } = gather(engine)
    const seeds = [5n, 5n, 6n, 2n ** 64n - 1n, 2n ** 64n - 1n]
    const runs = seeds.map((seed) => engine.submit(request([1, 2], { temperature: 1, seed })))
    await until(seeds.length)
    const [a, b, c, d, e] = runs.map(ids)
    expect(a).toEqual(b)
    expect(a).not.toEqual(c)
    expect(d).toEqual(e)
    expect(d).not.toEqual(a)
  })

  it('speculates without a trace in the tokens, and counts what it guessed', async () => {
    const engine = await load({ speculate: 4 })
    expect(engine.info.speculate).toBe(4)
    const { ids, last, until } = gather(engine)
    const [prompt] = readGolden('tiny-a')
    if (!prompt) throw new Error('golden prompt missing')
    const predicted = Int32Array.from(prompt.greedy)
    const guessed = engine.submit(request(prompt.ids, { predicted }))
    await until(1)
    expect(ids(guessed)).toEqual(prompt.greedy)
    const { tokensDrafted, tokensAccepted, tokensGenerated } = engine.stats()
    expect(last(guessed)).toMatchObject({ finish: 'length', draftedTokens: tokensDrafted })
    expect(last(guessed)).toMatchObject({ acceptedTokens: tokensAccepted })
    const { predictedDrafted = -1, predictedAccepted = -1 } = last(guessed) ?? {}
    expect(predictedAccepted).toBeGreaterThanOrEqual(0)
    expect(predictedAccepted).toBeLessThanOrEqual(Math.min(predictedDrafted, tokensAccepted))
    expect(predictedDrafted).toBeLessThanOrEqual(tokensDrafted)
    expect(tokensGenerated).toBe(prompt.greedy.length)
    expect(() => engine.submit(request([1], { predicted: Int32Array.of(99_999) }))).toThrow(
      'predicted[0]',
    )
    await expect(load({ speculate: 16 })).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  it('ends on cancel and on close, with a last event each time', async () => {
    const engine = await load()
    const { last, until } = gather(engine)
    const cancelled = engine.submit(request([1], { maxTokens: 0 }))
    const closed = engine.submit(request([2], { maxTokens: 0 }))
    engine.cancel(cancelled)
    engine.cancel(9999)
    await until(1)
    expect(last(cancelled)?.finish).toBe('cancelled')
    const closing = engine.close()
    expect(engine.close()).toBe(closing)
    await closing
    expect(last(closed)?.finish).toBe('cancelled')
    engine.cancel(closed)
    expect(engine.stats().running).toBe(0)
    expect(engine.info.vocabSize).toBe(320)
    expect(await codeOf(() => engine.submit(request([1])))).toBe('Error cancelled')
  })

  it('refuses bad requests and goes on', async () => {
    const engine = await load()
    expect(await codeOf(() => engine.submit(request([1])))).toBe('Error invalid_argument')
    const { ids, until } = gather(engine)
    expect(await codeOf(() => engine.start(() => {}))).toBe('Error invalid_argument')
    const refused: Partial<NativeGenerateRequest>[] = [
      { prompt: new Int32Array() },
      { prompt: Int32Array.of(320) },
      { stopIds: Int32Array.of(-1) },
      { temperature: Number.NaN },
      { topP: 2 },
      { topLogprobs: 21 },
      { logitBias: [[320, 1]] },
      { maxTokens: -1 },
    ]
    for (const fields of refused)
      expect(await codeOf(() => engine.submit(request([1], fields)))).toBe('Error invalid_argument')
    const wrong: Record<string, unknown>[] = [
      { prompt: [1] },
      { prompt: new Float32Array(1) },
      { seed: 1 },
      { seed: -1n },
      { seed: 2n ** 64n },
      { temperature: '1' },
      { maxTokens: 1.5 },
      { logitBias: [1] },
      { logitBias: [['a', 1]] },
      { neverIds: {} },
    ]
    for (const fields of wrong)
      expect([
        fields,
        await codeOf(() =>
          engine.submit({ ...request([1]), ...fields } as unknown as NativeGenerateRequest),
        ),
      ]).toEqual([fields, 'TypeError invalid_argument'])
    expect(await codeOf(() => Reflect.construct(engine.constructor, []))).toBe(
      'TypeError invalid_argument',
    )
    const sequence = engine.submit(request([27]))
    await until(1)
    expect(ids(sequence)).toEqual(readGolden('tiny-a')[0]?.greedy)
  })
})

describe('the benchmark', () => {
  it('reports every test and batch with consistent numbers', async () => {
    const report = await addon.bench({
      modelPath: `${golden}tiny-b/hf`,
      mode: 'fast',
      head: 'screened',
      cases: [1, 3].flatMap((batch) => [
        { prefill: true, tokens: 24, batch, depth: 40 },
        { tokens: 4, batch, depth: 40, exactHead: true },
        { tokens: 4, batch, depth: 40, busyNeighbour: true },
      ]),
      repetitions: 1,
    })
    expect(report.runs.map((run) => `${run.test} ${run.batch} ${run.depth} ${run.head}`)).toEqual([
      'pp24 1 40 exact',
      'tg4 1 40 exact',
      'tg4 1 40 screened',
      'pp24 3 40 exact',
      'tg4 3 40 exact',
      'tg4 3 40 screened',
    ])
    expect(report.runs.map((run) => run.busyNeighbour)).toEqual([0, 0, 1, 0, 0, 1].map(Boolean))
    const [, single, screened, , triple] = report.runs
    for (const run of report.runs) {
      expect(run.tokensPerSecond).toBeGreaterThan(0)
      expect(run.samples).toEqual([run.tokensPerSecond])
      expect(run.gbPerSecond).toBeCloseTo((run.bytesPerToken * run.tokensPerSecond) / 1e9, 9)
      expect(run.ratio).toBeCloseTo(run.gbPerSecond / run.streamGbPerSecond, 9)
    }
    // All 4 experts are chosen every time: one token reads all matrices but the embedding, three share them.
    const matrices = report.weightBytes - 512 * 128 * 2
    expect(single?.bytesPerToken).toBeGreaterThan(matrices * 0.97)
    expect(single?.bytesPerToken).toBeLessThan(matrices * 1.05)
    expect(triple?.bytesPerToken).toBeLessThan(matrices * 0.4)
    // The copy has a byte where the head has two; a few rows are read of both.
    expect(report.info).toMatchObject({ head: 'screened', headBytes: 512 * (128 + 12) })
    const saved = (single?.bytesPerToken ?? 0) - (screened?.bytesPerToken ?? 0)
    expect(saved).toBeGreaterThan(512 * 116 * 0.5)
    expect(saved).toBeLessThanOrEqual(512 * 116)
    expect(report.bestGbPerSecond).toBeGreaterThan(0)
    expect(report.rssBytes).toBeGreaterThan(report.weightBytes)
  })

  it('refuses a context that the model does not have', async () => {
    const options = { modelPath: `${golden}tiny-a/hf`, repetitions: 1 }
    const bench = (wanted: object[]) =>
      codeOf(() => addon.bench({ ...options, cases: wanted as NativeBenchCase[] }))
    expect(await bench([{ tokens: 8, depth: 1 << 20 }])).toBe('Error invalid_argument')
    expect(await bench([])).toBe('Error invalid_argument')
    expect(await bench([{ tokens: 0 }])).toBe('Error invalid_argument')
    expect(await bench([{ tokens: 8, prefill: 1 }])).toBe('TypeError invalid_argument')
  })
})

describe('the tokenizer', () => {
  it('round-trips bytes, on either thread, and refuses what is no text', async () => {
    const ranks = fileURLToPath(
      new URL('../../node_modules/gpt-tokenizer/data/o200k_base.tiktoken', import.meta.url),
    )
    const tokenizer = await addon.loadTiktoken(ranks, { '<|end|>': 200007 })
    expect([tokenizer.vocabSize, tokenizer.specialId('<|end|>'), tokenizer.specialId('x')]).toEqual(
      [200008, 200007, -1],
    )
    expect(tokenizer.specials()).toEqual({ '<|end|>': 200007 })
    expect([tokenizer.isSpecial(200007), tokenizer.isSpecial(1), tokenizer.isSpecial(-5)]).toEqual([
      true,
      false,
      false,
    ])
    const text = 'Größe: 東京 <|end|>\0'
    const bytes = new TextEncoder().encode(text)
    const ids = tokenizer.encode(text)
    expect(ids.includes(200007)).toBe(false)
    expect(tokenizer.encode(bytes)).toEqual(ids)
    expect(await tokenizer.encodeAsync(text)).toEqual(ids)
    expect(tokenizer.decode(ids)).toEqual(bytes)
    expect(new TextDecoder().decode(tokenizer.decode(Int32Array.of(200007)))).toBe('<|end|>')
    expect(tokenizer.decode(tokenizer.encode(Uint8Array.of(255, 0, 128)))).toEqual(
      Uint8Array.of(255, 0, 128),
    )
    expect(await codeOf(() => tokenizer.decode(Int32Array.of(200008)))).toBe(
      'Error invalid_argument',
    )
    expect(await codeOf(() => tokenizer.encode(7 as unknown as string))).toBe(
      'TypeError invalid_argument',
    )
    expect(await codeOf(() => addon.loadTokenizer('/nonexistent/tokenizer.json'))).toBe(
      'Error not_found',
    )
  })
})

describe('the ends of processes and threads', () => {
  const run = (how: string) => {
    const result = spawnSync(process.execPath, [child, how, `${golden}tiny-b/hf`], {
      encoding: 'utf8',
      timeout: 50_000,
    })
    return { status: result.status, signal: result.signal, out: result.stdout, err: result.stderr }
  }

  it('lets the process end when nothing runs', () => {
    expect(run('idle')).toMatchObject({ status: 0, out: 'done\n' })
  })
  it('keeps the process alive until the last token', () => {
    expect(run('finish')).toMatchObject({ status: 0, out: '40 tokens\n' })
  })
  it('survives process.exit in the midst of a generation', () => {
    expect(run('exit')).toMatchObject({ status: 7 })
  })
  it('survives the end of a worker in the midst of a generation', () => {
    expect(run('terminate')).toMatchObject({ status: 0, out: 'worker ended with 1\n' })
    expect(run('worker-exit')).toMatchObject({ status: 0, out: 'worker ended with 3\n' })
  })
  it('makes an exception of the callback an uncaught one', () => {
    const result = run('throw')
    expect(result.status).toBe(1)
    expect(result.err).toContain('thrown by the callback')
  })
})
