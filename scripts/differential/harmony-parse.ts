// Our parser against the StreamableParser of OpenAI's harmony library: the content delta after each token and the messages
// of random completions, whole and cut after each token. Damaged ones must lose no text, and never throw.
// node scripts/differential/harmony-parse.ts LIBRARY_FOLDER [COUNT] [SEED]
import { loadTokenizer } from '../../native-node/cli/vocabulary.ts'
import {
  HarmonyParser,
  type ParsedMessage,
  parseCommand,
} from '../../native-node/server/harmony-parse.ts'
import { nativeVocabulary } from '../../native-node/server/vocabulary.ts'
import { Completions } from './completions.ts'
import { type HarmonyLibrary, libraryMessages, loadHarmonyLibrary } from './harmony-library.ts'
import { Random } from './random.ts'

interface Parsed {
  deltas: string[]
  messages: ParsedMessage[]
}

const [folder = '.', count = '10000', seed = '1'] = process.argv.slice(2)
const library = await loadHarmonyLibrary(folder)
const vocabulary = nativeVocabulary(await loadTokenizer('o200k'))
const random = new Random(Number(seed))
const completions = new Completions(random)
const mostShown = 20
const marker = /(<\|[a-z0-9_]+\|>)/

function idsOf(text: string): number[] {
  return text.split(marker).flatMap((part) => {
    const id = marker.test(part) ? vocabulary.special(part) : -1
    return id >= 0 ? [id] : vocabulary.encode(part)
  })
}

/** What the library makes of it; a message where it refuses. `cut`: the message that was open at the end. */
function libraryParse(
  { parser: create }: HarmonyLibrary,
  ids: readonly number[],
): (Parsed & { cut?: string }) | string {
  const parser = create()
  try {
    const deltas = ids.map((id) => {
      parser.process(id)
      return parser.lastContentDelta ?? ''
    })
    const messages = libraryMessages(parser)
    const open = JSON.parse(parser.state) === 'ExpectStart' ? {} : { cut: parser.currentContent }
    return { deltas, messages, ...open }
  } catch (error) {
    return String(error)
  } finally {
    parser.free()
  }
}

const sorted = (messages: readonly ParsedMessage[]) =>
  JSON.stringify(
    messages.map((message) => Object.entries(message).sort(([a], [b]) => (a < b ? -1 : 1))),
  )

let different = 0
function report(what: string, text: string, theirs: unknown, ours: unknown): void {
  if (++different > mostShown) return
  process.stdout.write(
    `--- ${what}\n${JSON.stringify(text)}\nlibrary ${JSON.stringify(theirs)}\nours    ${JSON.stringify(ours)}\n`,
  )
}

/** Everything that was cut after a token: whole messages as the library has them, then the open one so far. */
function checkCuts(text: string, ids: readonly number[]): void {
  for (let length = 0; length < ids.length; length++) {
    const part = ids.slice(0, length)
    const theirs = libraryParse(library, part)
    const ours = parseCommand(part, vocabulary)
    if (typeof theirs === 'string') report('refused', text, theirs, ours)
    else {
      const whole = ours.messages.slice(0, theirs.messages.length)
      const rest = ours.messages.slice(theirs.messages.length)
      const open = rest[0]?.content ?? ''
      const shown = theirs.cut ?? ''
      // The library holds the whole token of a character that was cut, which has a replacement character with us.
      const alike = open === shown || (open.startsWith(shown) && open.endsWith('\ufffd'))
      const same = sorted(whole) === sorted(theirs.messages) && rest.length <= 1 && alike
      if (!same) report(`cut after ${length}`, text, theirs, ours)
    }
  }
}

/** Every character outside of headers comes out once, in order. */
function checkDamaged(text: string, ids: readonly number[]): void {
  const { deltas, messages } = parseCommand(ids, vocabulary)
  const shown = messages.map(({ content }) => content).join('')
  if (deltas.join('') !== shown) report('deltas do not add up', text, deltas, messages)
  const parser = new HarmonyParser(vocabulary, { functions: new Set(['get_weather']) })
  const events = [...ids.flatMap((id) => parser.push(id)), ...parser.end()]
  if (
    events.filter(({ type }) => type === 'open').length !==
    events.filter(({ type }) => type === 'close').length
  ) {
    report('open and close', text, undefined, events)
  }
  let at = 0
  for (const [, content = ''] of text.matchAll(/<\|message\|>([^<]*)/g)) {
    const found = shown.indexOf(content, at)
    if (found === -1) {
      report('lost text', text, content, messages)
      return
    }
    at = found + content.length
  }
}

let refused = 0
let agreed = 0
for (let index = 0; index < Number(count); index++) {
  const text = completions.wellFormed()
  const ids = idsOf(text)
  const theirs = libraryParse(library, ids)
  const ours = parseCommand(ids, vocabulary)
  if (typeof theirs === 'string') {
    refused++
    report('refused', text, theirs, ours)
  } else if (
    JSON.stringify(theirs.deltas) !== JSON.stringify(ours.deltas) ||
    sorted(theirs.messages) !== sorted(ours.messages)
  ) {
    report('different', text, theirs, ours)
  } else if (index % 20 === 0) checkCuts(text, ids)
  const broken = completions.damaged()
  const brokenIds = idsOf(broken)
  checkDamaged(broken, brokenIds)
  const read = libraryParse(library, brokenIds)
  if (
    typeof read !== 'string' &&
    sorted(read.messages) === sorted(parseCommand(brokenIds, vocabulary).messages)
  )
    agreed++
}
process.stdout.write(
  `${count} well-formed (${refused} refused by the library), ${count} damaged (${agreed} read alike), ${different} different\n`,
)
process.exitCode = different === 0 ? 0 : 1
