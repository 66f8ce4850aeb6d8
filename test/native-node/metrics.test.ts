// What a node tells Prometheus: the page's form, and that its numbers are those of what was done.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadNodeEngine } from '../../native-node/server/engine.ts'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { GenerationMetrics } from '../../native-node/server/generation-metrics.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { metricsOnly } from '../../native-node/server/metrics-page.ts'
import { Counter, Histogram, metricsText, single } from '../../src/metrics/families.ts'
import { byteTokenizer, FakeNativeEngine, fakeAddon } from './fake-native.ts'
import { ScriptedEngine } from './scripted-engine.ts'

const model = 'switchyard/test'
const ids = (...values: number[]) => Int32Array.from(values)

describe('the text format', () => {
  it('has a help line, a type line and a line for each sample', () => {
    expect(metricsText([single('gauge', 'a_b', 'How many.\nOf \\ them.', 2.5)])).toBe(
      '# HELP a_b How many.\\nOf \\\\ them.\n# TYPE a_b gauge\na_b 2.5\n',
    )
  })

  it('counts by labels, and escapes their values', () => {
    const counter = new Counter('ends_total', 'Ends.')
    counter.add({ how: 'stop' })
    counter.add({ how: 'a "b"\\\n' })
    counter.add({ how: 'stop' }, 2)
    expect(metricsText([counter.family()]).split('\n').slice(2, 4)).toEqual([
      'ends_total{how="stop"} 3',
      'ends_total{how="a \\"b\\"\\\\\\n"} 1',
    ])
  })

  it('adds buckets up, the last of them being all', () => {
    const histogram = new Histogram('took_seconds', 'Took.', [0.1, 1])
    for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe(value)
    expect(metricsText([histogram.family()]).split('\n').slice(2)).toEqual([
      'took_seconds_bucket{le="0.1"} 2',
      'took_seconds_bucket{le="1"} 3',
      'took_seconds_bucket{le="+Inf"} 4',
      'took_seconds_sum 7.65',
      'took_seconds_count 4',
      '',
    ])
  })
})

/** Samples of a page by name and labels. */
function samplesOf(page: string): Map<string, number> {
  const lines = page.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}

describe('generations', () => {
  const event = { promptTokens: 9, cachedTokens: 4, draftedTokens: 0, acceptedTokens: 0 }
  const rest = { ...event, predictedDrafted: 0, predictedAccepted: 0 }

  it('are timed from their submission to their tokens and their end', () => {
    const metrics = new GenerationMetrics()
    metrics.submitted(1, 1000)
    metrics.submitted(2, 1000)
    metrics.took({ ...rest, sequence: 1, ids: ids(5) }, 1200)
    metrics.took({ ...rest, sequence: 1, ids: ids(6, 7), finish: 'stop' }, 1300)
    metrics.took({ ...rest, sequence: 2, ids: ids(), finish: 'cancelled' }, 1400)
    metrics.took({ ...rest, sequence: 3, ids: ids(8) }, 1500)
    const samples = samplesOf(metricsText(metrics.families()))
    expect(samples.get('switchyard_prompt_tokens_total')).toBe(9)
    expect(samples.get('switchyard_cached_prompt_tokens_total')).toBe(4)
    expect(samples.get('switchyard_generation_tokens_total')).toBe(3)
    expect(samples.get('switchyard_generations_total{finish="stop"}')).toBe(1)
    expect(samples.get('switchyard_generations_total{finish="cancelled"}')).toBe(1)
    expect(samples.get('switchyard_time_to_first_token_seconds_sum')).toBe(0.2)
    expect(samples.get('switchyard_time_to_first_token_seconds_count')).toBe(1)
    expect(samples.get('switchyard_time_per_output_token_seconds_sum')).toBe(0.05)
    expect(samples.get('switchyard_generation_duration_seconds_sum')).toBeCloseTo(0.7)
    expect(samples.get('switchyard_generation_duration_seconds_count')).toBe(2)
  })

  let modelDir: string
  beforeEach(async () => {
    modelDir = await mkdtemp(join(tmpdir(), 'switchyard-metrics-'))
    await writeFile(join(modelDir, 'config.json'), '{"eos_token_id":261}')
  })
  afterEach(() => rm(modelDir, { recursive: true }))

  it('are those of the engine, whoever asked for them', async () => {
    const native = new FakeNativeEngine()
    const engine = await loadNodeEngine({ modelDir, addon: fakeAddon(native, byteTokenizer()) })
    const backend = new EngineBackend({ engine, model, now: Date.now, newId })
    const steps = engine.generate([1, 2], {})
    native.deliver({ sequence: 1, ids: ids(10), promptTokens: 2 })
    native.deliver({ sequence: 1, ids: ids(11), finish: 'length' })
    for await (const _ of steps);
    const response = await metricsOnly(backend)(new Request('http://node/metrics'))
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const samples = samplesOf(await response.text())
    expect(samples.get('switchyard_generation_tokens_total')).toBe(2)
    expect(samples.get('switchyard_generations_total{finish="length"}')).toBe(1)
    expect(samples.get('switchyard_draft_tokens_total')).toBe(native.stats().tokensDrafted)
    expect(samples.get('switchyard_slots')).toBe(engine.info.maxSequences)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect((await metricsOnly(backend)(new Request('http://node/v1/models'))).status).toBe(404)
    const post = new Request('http://node/metrics', { method: 'POST' })
    expect((await metricsOnly(backend)(post)).status).toBe(405)
  })
})

describe('the page of a local API', () => {
  const text = '<|channel|>final<|message|>Hello<|return|>'
  const make = (key?: string) => {
    const backend = new EngineBackend({
      engine: new ScriptedEngine({ text }),
      model,
      now: Date.now,
      newId,
    })
    return createNodeApi({ backend, ...(key === undefined ? {} : { key }) })
  }
  const scrape = async (api: ReturnType<typeof make>) =>
    samplesOf(await (await api.fetch(new Request('http://localhost/metrics'))).text())

  it('counts answers by how they ended', async () => {
    const api = make()
    const ask = (body: object) => {
      const init = { method: 'POST', body: JSON.stringify({ model, ...body }) }
      const headers = { 'content-type': 'application/json' }
      return api.fetch(new Request('http://localhost/v1/responses', { ...init, headers }))
    }
    expect((await ask({ input: 'Hi' })).status).toBe(200)
    await (await ask({ input: 'Hi', stream: true })).text()
    expect((await ask({ input: 7 })).status).toBe(400)
    const samples = await scrape(api)
    expect(samples.get('switchyard_requests_total{outcome="completed"}')).toBe(2)
    const refused = 'switchyard_requests_total{outcome="failed",error="invalid_value"}'
    expect([...samples].filter(([name]) => name.startsWith('switchyard_requests_total'))).toEqual([
      ['switchyard_requests_total{outcome="completed"}', 2],
      [refused, 1],
    ])
    expect([...samples.keys()].filter((name) => name.startsWith('switchyard_info'))).toHaveLength(1)
  })

  it('needs the key where there is one', async () => {
    const api = make('sy_secret')
    expect((await api.fetch(new Request('http://localhost/metrics'))).status).toBe(401)
    const authorization = 'Bearer sy_secret'
    const request = new Request('http://localhost/metrics', { headers: { authorization } })
    expect((await api.fetch(request)).status).toBe(200)
  })
})
