// Text whose characters and stop strings lie across tokens, from the engine's ids to the bytes on the wire: whole characters
// only, nothing of a stop string, and logprobs whose bytes are those of the text.
import { describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { ScriptedEngine } from './scripted-engine.ts'
import { idsOf, o200kVocabulary } from './vocabulary.ts'

const model = 'switchyard/test'
const vocabulary = o200kVocabulary()
const texts = [
  '👨‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🫠🩷',
  '\ufeffBOM first',
  '𝒳𝓎 ꙮ ﷽ 𓀀𓂀 𐍈',
  'नमस्ते दुनिया తెలుగు ქართული',
  '日本語と中文 e\u0301 \u0000 \u200d \ufffd',
  'a\u{1F468}\u{1F3FF}\u200d\u{1F680}b',
]

interface TokenLogprob {
  token: string
  bytes: number[]
}
interface Event {
  type: string
  delta?: string
  logprobs?: TokenLogprob[]
  response?: { output: { type: string; content?: { text: string; logprobs: TokenLogprob[] }[] }[] }
}

/** The events of an answer, read from the bytes of its stream. */
async function answer(text: string, fields: object = {}): Promise<Event[]> {
  const engine = new ScriptedEngine({
    text: `<|channel|>final<|message|>${text}<|return|>`,
    logprobs: true,
  })
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const { fetch } = createNodeApi({ backend })
  const response = await fetch(
    new Request('http://127.0.0.1/v1/responses', {
      method: 'POST',
      headers: { 'content-type': 'application/json', host: '127.0.0.1' },
      body: JSON.stringify({ model, input: 'x', stream: true, top_logprobs: 1, ...fields }),
    }),
  )
  const stream = await response.text()
  return stream
    .split('\n')
    .flatMap((line) => (line.startsWith('data: {') ? [JSON.parse(line.slice(6)) as Event] : []))
}

const deltasOf = (events: Event[]) =>
  events.filter(({ type }) => type === 'response.output_text.delta')
const textOf = (events: Event[]) =>
  deltasOf(events)
    .map(({ delta }) => delta)
    .join('')

describe('characters that lie across tokens', () => {
  it.each(texts)('come whole, with the bytes of their tokens: %j', async (text) => {
    const deltas = deltasOf(await answer(text))
    expect(deltas.map(({ delta }) => delta).join('')).toBe(text)
    for (const { delta } of deltas) {
      expect(delta).not.toMatch(/\p{Surrogate}/u)
      if (!text.includes('\ufffd')) expect(delta).not.toContain('\ufffd')
    }
    const logprobs = deltas.flatMap((delta) => delta.logprobs ?? [])
    expect(logprobs.flatMap(({ bytes }) => bytes)).toEqual(
      Array.from(new TextEncoder().encode(text)),
    )
    expect(logprobs.map(({ bytes }) => bytes)).toEqual(
      idsOf(text).map((id) => Array.from(vocabulary.tokenBytes(id))),
    )
    for (const { token, bytes } of logprobs) {
      if (!token.includes('\ufffd'))
        expect(Array.from(new TextEncoder().encode(token))).toEqual(bytes)
    }
  })
})

describe('a stop string across tokens', () => {
  it('is found at every place of every text, and nothing of it is shown', async () => {
    for (const text of texts) {
      const characters = Array.from(text)
      for (let start = 1; start + 3 <= characters.length; start += 2) {
        const stop = characters.slice(start, start + 3).join('')
        const events = await answer(text, { stop: [stop, 'never there'] })
        expect(textOf(events), `${text} up to ${stop}`).toBe(text.slice(0, text.indexOf(stop)))
        expect(events.at(-1)?.type).toBe('response.completed')
      }
    }
  })

  it('that only begins does not hold anything back for good', async () => {
    for (const text of texts) {
      const end = Array.from(text).slice(-2).join('')
      expect(textOf(await answer(text, { stop: [`${end}!`, `${text}?`] }))).toBe(text)
    }
  })
})
