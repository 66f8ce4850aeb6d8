// GGUF files from the command line's side: their tokenizers, what they say of generation, and the same answers as the same model in
// a folder. The files of test/fixtures/gguf were written by llama.cpp's own package.
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeGguf } from '../../bench/engine/gguf.ts'
import { loadTokenizer } from '../../native-node/cli/vocabulary.ts'
import { loadAddon } from '../../native-node/server/binding.ts'
import { loadNodeEngine } from '../../native-node/server/engine.ts'
import { demoDir } from './serve-demo.ts'

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
const gguf = `${fixtures}gguf/`

let folder: string
let demo: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'switchyard-gguf-'))
  demo = join(folder, 'demo.gguf')
  writeGguf(demoDir, demo)
})
afterAll(() => rm(folder, { recursive: true }))

async function texts(): Promise<string[]> {
  const all: string[] = [
    '',
    'the theing <|start|> He said: ä 12 1234\n\n',
    '\u0000\ud800 \u{1f600}',
  ]
  for (const name of ['cases', 'differential']) {
    const { cases } = JSON.parse(await readFile(`${fixtures}tokenizer/${name}.json`, 'utf8')) as {
      cases: { text: string }[]
    }
    all.push(...cases.map(({ text }) => text))
  }
  return all
}

describe('the tokenizer', () => {
  it.each([
    ['of the fixture', () => [`${gguf}hf`, `${gguf}bf16.gguf`]],
    ['of the demo', () => [demoDir, demo]],
  ])('%s gives the ids of tokenizer.json', async (_, pair) => {
    const [json, file] = await Promise.all(pair().map((path) => loadTokenizer(path)))
    if (!json || !file) throw new Error('not loaded')
    const all = await texts()
    expect(all.length).toBeGreaterThan(100)
    for (const text of all) expect(file.encode(text), text).toEqual(json.encode(text))
    for (const [name, id] of Object.entries(json.specials())) expect(file.specialId(name)).toBe(id)
    for (let id = 0; id < json.vocabSize; id++) {
      expect(file.isSpecial(id)).toBe(json.isSpecial(id))
      expect(file.decode(Int32Array.of(id))).toEqual(json.decode(Int32Array.of(id)))
    }
    expect(Array.from(file.eosIds())).toEqual([file.specialId('<|return|>')])
    expect(Array.from(json.eosIds())).toEqual([])
  })

  it('is found alone in a folder', async () => {
    const alone = await mkdtemp(join(folder, 'alone-'))
    await copyFile(`${gguf}q8_0.gguf`, join(alone, 'model.gguf'))
    expect((await loadTokenizer(alone)).specialId('<|call|>')).toBe(274)
  })

  it('is refused by what is wrong with it', async () => {
    const bytes = await readFile(`${gguf}bf16.gguf`)
    const path = join(folder, 'other.gguf')
    await writeFile(
      path,
      Buffer.from(bytes.toString('latin1').replace('gpt-4o', 'qwen35'), 'latin1'),
    )
    await expect(loadAddon().loadGgufTokenizer(path)).rejects.toMatchObject({
      code: 'unsupported',
      message: `${path}: tokenizer.ggml.pre: the pre-tokenizer "qwen35" is not supported (gpt-4o, o200k)`,
    })
  })
})

describe('a model', () => {
  async function answer(modelDir: string, mode: 'exact' | 'fast'): Promise<number[]> {
    const engine = await loadNodeEngine({ modelDir, mode, threads: 1, maxSequences: 1 })
    try {
      const { vocabulary } = engine
      const start = vocabulary.special('<|start|>')
      const message = vocabulary.special('<|message|>')
      const end = vocabulary.special('<|end|>')
      const user = [
        start,
        ...vocabulary.encode('user'),
        message,
        ...vocabulary.encode('Who are you?'),
        end,
      ]
      const prompt = [...user, start, ...vocabulary.encode('assistant')]
      const ids: number[] = []
      for await (const step of engine.generate(prompt, { temperature: 0, maxTokens: 60 }))
        ids.push(...Array.from(step.ids))
      return ids
    } finally {
      await engine.close()
    }
  }

  it.each(['exact', 'fast'] as const)('answers as from its folder, mode %s', async (mode) => {
    const expected = await answer(demoDir, mode)
    expect(expected.length).toBeGreaterThan(10)
    expect(await answer(demo, mode)).toEqual(expected)
  })

  it('is refused by its path where it lacks what harmony needs', async () => {
    const bytes = await readFile(`${gguf}bf16.gguf`)
    const path = join(folder, 'no-call.gguf')
    const text = bytes.toString('latin1').replace('<|call|>', '<|ring|>')
    await writeFile(path, Buffer.from(text, 'latin1'))
    await expect(loadNodeEngine({ modelDir: path, threads: 1 })).rejects.toMatchObject({
      code: 'unsupported',
      message: `${path}: The tokenizer lacks the harmony control tokens <|call|>: not a gpt-oss model.`,
    })
  })

  it('has the defaults of a file that says nothing of sampling', async () => {
    const engine = await loadNodeEngine({ modelDir: `${gguf}q8_0.gguf`, threads: 1 })
    expect(engine.defaults).toEqual({ temperature: 1, topP: 1, topK: 0, minP: 0 })
    expect(engine.info.vocabSize).toBe(275)
    await engine.close()
  })
})
