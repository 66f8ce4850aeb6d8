import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fixture, readNpy, switchyard } from './run.ts'

const scratch = mkdtempSync(join(tmpdir(), 'switchyard-cli-'))

interface Golden {
  prompts: { ids: number[]; logits: string }[]
}
const golden = (name: string) =>
  JSON.parse(readFileSync(fixture(`golden/model/${name}/golden.json`), 'utf8')) as Golden

function worstDifference(left: Float32Array[], right: Float32Array[]): number {
  let worst = 0
  for (const [row, values] of left.entries()) {
    for (const [column, value] of values.entries())
      worst = Math.max(worst, Math.abs(value - (right[row]?.[column] ?? Number.NaN)))
  }
  return worst
}

describe('logits', () => {
  it.each(['tiny-a', 'tiny-b'])(
    '%s equals the reference within 1e-3, whatever the prefill',
    async (name) => {
      for (const { ids, logits } of golden(name).prompts) {
        const expected = readNpy(readFileSync(fixture(`golden/model/${name}/${logits}`)))
        for (const prefill of ['0', '1', String(Math.ceil(ids.length / 2))]) {
          const out = join(scratch, `${name}-${logits}-${prefill}.npy`)
          const ran = await switchyard([
            'logits',
            '--model',
            fixture(`golden/model/${name}/hf`),
            '--ids',
            ids.join(','),
            '--mode',
            'exact',
            '--prefill',
            prefill,
            '--out',
            out,
          ])
          expect(ran.stderr).toBe('')
          expect(ran.code).toBe(0)
          const actual = readNpy(readFileSync(out))
          expect(actual.header).toContain("'descr': '<f4', 'fortran_order': False")
          expect(actual.shape).toEqual(expected.shape)
          expect(worstDifference(actual.rows, expected.rows)).toBeLessThanOrEqual(1e-3)
        }
      }
    },
  )

  it('takes a GGUF file, or a folder with one', async () => {
    const alone = mkdtempSync(join(scratch, 'gguf-'))
    symlinkSync(fixture('gguf/bf16.gguf'), join(alone, 'model.gguf'))
    const files = ['gguf/hf', 'gguf/bf16.gguf', 'gguf/q8_0.gguf'].map(fixture)
    const outputs: Buffer[] = []
    for (const model of [...files, alone]) {
      const out = join(scratch, `gguf-${outputs.length}.npy`)
      const ran = await switchyard(['logits', '--model', model, '--ids', '5,7,270', '--out', out])
      expect(ran.stderr).toBe('')
      outputs.push(readFileSync(out))
    }
    for (const output of outputs.slice(1)) expect(output).toEqual(outputs[0])
  })

  it('names an id outside the vocabulary', async () => {
    const ran = await switchyard([
      'logits',
      '--model',
      fixture('golden/model/tiny-a/hf'),
      '--ids',
      '1,320',
      '--out',
      join(scratch, 'x.npy'),
    ])
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('320')
  })
})

describe('tokenize', () => {
  it('gives a bare array and takes it back, byte for byte', async () => {
    const input = Buffer.concat([
      Buffer.from('Hello, wörld! <|start|>\r\n\u{1f642}'),
      Buffer.from([0xff, 0xc3, 0x28, 0x00]),
    ])
    const encoded = await switchyard(['tokenize', '--model', 'o200k'], { input })
    expect(encoded.code).toBe(0)
    const ids = JSON.parse(encoded.stdout.toString()) as number[]
    expect(ids.every((id) => id < 199_998)).toBe(true)
    const decoded = await switchyard(['tokenize', '--model', 'o200k', '--decode'], {
      input: encoded.stdout,
    })
    expect(decoded.stdout.equals(input)).toBe(true)
  })

  it('refuses what is no array of ids', async () => {
    for (const input of ['{', '{"ids":[1]}', '[1,-1]', '[1.5]', '["1"]']) {
      const ran = await switchyard(['tokenize', '--model', 'o200k', '--decode'], { input })
      expect(ran.code).toBe(1)
      expect(ran.stdout.length).toBe(0)
    }
  })
})

describe('render and parse', () => {
  interface Harmony {
    render: { name: string; messages: unknown[]; ids: number[]; text: string }[]
    parse: { name: string; ids: number[]; deltas: unknown; messages: unknown }[]
  }
  const cases = JSON.parse(readFileSync(fixture('golden/harmony.json'), 'utf8')) as Harmony

  it('render one conversation as the harmony library does', async () => {
    const chosen = cases.render.find(({ name }) => name === 'three functions')
    const ran = await switchyard(['render', '--model', 'o200k'], {
      input: JSON.stringify({ messages: chosen?.messages }),
    })
    expect(ran.stderr).toBe('')
    expect(JSON.parse(ran.stdout.toString())).toEqual({ ids: chosen?.ids, text: chosen?.text })
  })

  it('parse a generation as the harmony library does', async () => {
    const [chosen] = cases.parse
    const ran = await switchyard(['parse', '--model', 'o200k'], {
      input: JSON.stringify(chosen?.ids),
    })
    expect(ran.stderr).toBe('')
    expect(JSON.parse(ran.stdout.toString())).toEqual({
      deltas: chosen?.deltas,
      messages: chosen?.messages,
    })
  })

  it('parse refuses an id that the vocabulary lacks', async () => {
    const ran = await switchyard(['parse'], { input: '[200005, 999999999]' })
    expect([ran.code, ran.stdout.toString()]).toEqual([1, ''])
    expect(ran.stderr).toContain('Entry 1, 999999999')
  })
})

describe('synth', () => {
  it('writes a checkpoint that the engine loads, the same for the same seed', async () => {
    const shape = '64,96,3,8,2,6,3,32,400'
    const outputs: Float32Array[][] = []
    for (const [folder, seed] of [
      ['one', '5'],
      ['two', '5'],
      ['three', '6'],
    ] as const) {
      const model = join(scratch, folder)
      expect(
        (await switchyard(['synth', '--shape', shape, '--seed', seed, '--out', model])).code,
      ).toBe(0)
      const out = join(scratch, `${folder}.npy`)
      const ran = await switchyard(['logits', '--model', model, '--ids', '1,2,3,300', '--out', out])
      expect(ran.stderr).toBe('')
      outputs.push(readNpy(readFileSync(out)).rows)
    }
    const [one, two, three] = outputs
    expect(one).toEqual(two)
    expect(one).not.toEqual(three)
    expect(one?.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true)
    const tokens = await switchyard(['tokenize', '--model', join(scratch, 'one')], {
      input: 'Hello there',
    })
    expect(tokens.code).toBe(0)
  })
})

describe('synth, where a model is', () => {
  it.each(['config.json', 'model-00001-of-00002.safetensors', 'model.gguf'])(
    'leaves it as it is: %s',
    async (name) => {
      const folder = mkdtempSync(join(scratch, 'model-'))
      writeFileSync(join(folder, name), 'weights of a month')
      const words = ['synth', '--shape', '64,96,1,2,1,2,1,32,400', '--out', folder]
      const ran = await switchyard(words)
      expect([ran.code, ran.stdout.toString()]).toEqual([1, ''])
      expect(ran.stderr).toContain(`${folder} holds a model already (${name})`)
      expect(readdirSync(folder)).toEqual([name])
      expect(readFileSync(join(folder, name), 'utf8')).toBe('weights of a month')
    },
  )
})

describe('synth, where it cannot write', () => {
  it.each([
    ['/proc/x/model', '--out: ENOENT'],
    ['FILE/model', '--out: ENOTDIR'],
    ['LINK', '--out: ENOENT'],
  ])('says why: %s', async (out, message) => {
    const file = join(scratch, 'a-file')
    writeFileSync(file, '')
    rmSync(join(scratch, 'a-link'), { force: true })
    symlinkSync('/nowhere/at/all', join(scratch, 'a-link'))
    const path = out.replace('FILE', file).replace('LINK', join(scratch, 'a-link'))
    const words = ['synth', '--shape', '64,96,1,2,1,2,1,32,400', '--out', path]
    const ran = await switchyard(words)
    expect(ran.stderr).toContain(message)
    expect(ran.code).toBe(1)
  })
})

describe('bench', () => {
  it('reports every run in JSON with the figures that make it comparable', async () => {
    const ran = await switchyard([
      'bench',
      '--model',
      fixture('golden/model/tiny-a/hf'),
      '--prompt',
      '16',
      '--gen',
      '4',
      '--batch',
      '1,2',
      '--repetitions',
      '1',
      '--json',
    ])
    expect(ran.code).toBe(0)
    const report = JSON.parse(ran.stdout.toString()) as {
      runs: Record<string, unknown>[]
    } & Record<string, unknown>
    expect(Object.keys(report)).toEqual([
      'machine',
      'model',
      'runs',
      'load_s',
      'weights_cache',
      'best_gb_per_s',
      'rss_bytes',
      'weight_bytes',
      'head_bytes',
    ])
    expect(report.runs.map(({ test, batch }) => `${test}x${batch}`)).toEqual(
      expect.arrayContaining(['pp16x1', 'tg4x1', 'tg4x2']),
    )
    for (const run of report.runs) {
      expect(Object.keys(run)).toEqual([
        'test',
        'batch',
        'depth',
        'drafted',
        'threads',
        'mode',
        'head',
        'dense',
        'tokens_per_s',
        'bytes_per_token',
        'gb_per_s',
        'stream_gb_per_s',
        'ratio',
      ])
      expect(run.tokens_per_s).toBeGreaterThan(0)
    }
  })
})
