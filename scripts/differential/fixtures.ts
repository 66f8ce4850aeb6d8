// Writes test/fixtures/golden/harmony-differential.json: random conversations and completions, with what the library makes of them.
// node scripts/differential/fixtures.ts LIBRARY_FOLDER
import { writeFileSync } from 'node:fs'
import { idsOf } from '../../test/native-node/vocabulary.ts'
import { Completions } from './completions.ts'
import { Conversations, type Message } from './conversations.ts'
import { libraryMessages, loadHarmonyLibrary } from './harmony-library.ts'
import { Random } from './random.ts'

const out = new URL('../../test/fixtures/golden/harmony-differential.json', import.meta.url)
const { encoding, parser: create } = await loadHarmonyLibrary(process.argv[2] ?? '.')
const random = new Random(20)
const conversations = new Conversations(random)
const completions = new Completions(random)
const mostText = 2500

/** The first `count` things that `make` gives, tries that it refuses left out. */
function some<T>(count: number, make: () => T | undefined): T[] {
  const found: T[] = []
  while (found.length < count) {
    const made = make()
    if (made !== undefined) found.push(made)
  }
  return found
}

const render = some(50, () => {
  const messages: Message[] = conversations.conversation()
  // Where the library's rule for old analysis and ours may differ, it is no oracle.
  if (messages.some(({ channel }) => channel === 'analysis')) return undefined
  if (JSON.stringify(messages).length > mostText) return undefined
  try {
    const config = { auto_drop_analysis: true }
    const ids = encoding.renderConversationForCompletion({ messages }, 'assistant', config)
    return { messages, ids: Array.from(ids) }
  } catch {
    return undefined
  }
})

const parse = some(50, () => {
  const text = completions.wellFormed()
  if (text.length > mostText / 5) return undefined
  const ids = idsOf(text)
  const parser = create()
  const deltas = ids.map((id) => {
    parser.process(id)
    return parser.lastContentDelta ?? ''
  })
  const messages = libraryMessages(parser)
  parser.free()
  return { text, ids, deltas, messages }
})

const rows = (cases: readonly object[]) => cases.map((item) => JSON.stringify(item)).join(',\n')
const oracle = 'openai/harmony (Rust), npm openai-harmony 0.4.0; scripts/differential/fixtures.ts'
writeFileSync(
  out,
  `{"oracle": ${JSON.stringify(oracle)},\n"render": [\n${rows(render)}\n],\n"parse": [\n${rows(parse)}\n]}\n`,
)
