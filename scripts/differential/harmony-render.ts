// Our rendering against OpenAI's harmony library: ids of random conversations.
// node scripts/differential/harmony-render.ts LIBRARY_FOLDER [COUNT] [SEED]
import { loadTokenizer } from '../../native-node/cli/vocabulary.ts'
import { renderCommand } from '../../native-node/server/harmony-render.ts'
import { nativeVocabulary } from '../../native-node/server/vocabulary.ts'
import { Conversations, type Message } from './conversations.ts'
import { loadHarmonyLibrary } from './harmony-library.ts'
import { Random } from './random.ts'

const [folder = '.', count = '10000', seed = '1'] = process.argv.slice(2)
const { encoding } = await loadHarmonyLibrary(folder)
const tokenizer = await loadTokenizer('o200k')
const vocabulary = nativeVocabulary(tokenizer)
const conversations = new Conversations(new Random(Number(seed)))
const mostShown = 20

/** The rule of the cookbook, which the library keeps only for a single final answer: see dropOldAnalysis. */
function withoutOldAnalysis(messages: Message[]): Message[] {
  const last = messages.findLastIndex(
    (item) => item.role === 'assistant' && item.channel === 'final',
  )
  return messages.filter((item, index) => index > last || item.channel !== 'analysis')
}

function attempt(render: () => ArrayLike<number>): ArrayLike<number> | string {
  try {
    return render()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const shown = (ids: ArrayLike<number> | string) =>
  typeof ids === 'string'
    ? `refused: ${ids}`
    : new TextDecoder().decode(tokenizer.decode(Int32Array.from(ids)))

let different = 0
let refused = 0
for (let index = 0; index < Number(count); index++) {
  const messages = conversations.conversation()
  const render = (kept: Message[]) => () =>
    encoding.renderConversationForCompletion({ messages: kept }, 'assistant', {
      auto_drop_analysis: false,
    })
  // What is dropped must be well-formed, too.
  const whole = attempt(render(messages))
  const theirs = typeof whole === 'string' ? whole : attempt(render(withoutOldAnalysis(messages)))
  const ours = attempt(() => renderCommand({ messages }, vocabulary).ids)
  if (typeof theirs === 'string' && typeof ours === 'string') {
    refused++
    continue
  }
  if (typeof theirs !== 'string' && typeof ours !== 'string') {
    if (theirs.length === ours.length && Array.from(theirs).every((id, at) => id === ours[at]))
      continue
  }
  if (++different > mostShown) continue
  process.stdout.write(
    `--- ${index}\n${JSON.stringify(messages)}\nlibrary\n${shown(theirs)}\nours\n${shown(ours)}\n`,
  )
}
process.stdout.write(`${count} conversations, ${refused} refused by both, ${different} different\n`)
process.exitCode = different === 0 ? 0 : 1
