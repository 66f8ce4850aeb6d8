// Texts for bench/native/draft_replay.cpp, in gpt-oss's vocabulary: answers that repeat much of their prompt, and such that do
// not. Made of this repository's own files.
//   node bench/engine/draft-replay.ts | build/draft_replay 7 1 1.1 1.3 …
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { encode } from 'gpt-tokenizer/encoding/o200k_base'

const read = (path: string) =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')

const code = read('native-node/server/sequence.ts')
const renamed = code.replaceAll('#steps', '#queue').replaceAll('#wake', '#notify')
const prose = read('docs/native-node.md')
const [, head = '', ...paragraphs] = prose.split('\n## ')
const people = [
  'Ada Lovelace',
  'Grace Hopper',
  'Alan Turing',
  'Edsger Dijkstra',
  'Barbara Liskov',
  'Tony Hoare',
]
const cities = ['London', 'New York', 'Manchester', 'Rotterdam', 'Los Angeles', 'Colombo']
const mail = people.map(
  (name, i) =>
    `${name} of ${cities[i]} ordered ${i + 2} copies of volume ${3 * i + 1} on 2026-0${i + 1}-1${i}; reach them at ${name.toLowerCase().replace(' ', '.')}@example.com.`,
)
const records = people.map((name, i) => ({
  name,
  city: cities[i],
  copies: i + 2,
  volume: 3 * i + 1,
  date: `2026-0${i + 1}-1${i}`,
  email: `${name.toLowerCase().replace(' ', '.')}@example.com`,
}))

const texts: [name: string, prompt: string, answer: string][] = [
  [
    'a file with two names changed',
    `Rename #steps to #queue and #wake to #notify:\n${code}`,
    renamed,
  ],
  [
    'one function of it',
    `Show me only the method take:\n${code}`,
    code.slice(code.indexOf('  take('), code.indexOf('  fail(')),
  ],
  [
    'JSON from prose',
    `Extract name, city, copies, volume, date and email as JSON:\n${mail.join('\n')}`,
    JSON.stringify(records, null, 2),
  ],
  [
    'a quotation',
    `Quote the section on sampling:\n${prose}`,
    paragraphs.find((text) => text.startsWith('Sampling')) ?? '',
  ],
  ['prose', `Write about this:\n${head.slice(0, 200)}`, read('docs/routing.md').slice(0, 4000)],
  ['prose, nothing before it', 'Write an introduction.', read('README.md').slice(0, 3000)],
]
for (const [name, prompt, answer] of texts)
  process.stdout.write(`${name}\n${encode(prompt).join(' ')}\n${encode(answer).join(' ')}\n`)
