// `switchyard render` and `switchyard parse`: harmony laid open, in the form of OpenAI's harmony library.
import { parseCommand } from '../server/harmony-parse.ts'
import { renderCommand } from '../server/harmony-render.ts'
import { nativeVocabulary } from '../server/vocabulary.ts'
import { type Command, CommandError, print, readStdin } from './command.ts'
import { parseIds } from './tokenize.ts'
import { loadTokenizer } from './vocabulary.ts'

const modelOption = {
  type: 'string',
  value: 'PATH|o200k',
  help: "folder with tokenizer.json, GGUF file, or gpt-oss's vocabulary",
  default: 'o200k',
} as const

export const render: Command = {
  name: 'render',
  summary: "Renders a conversation to the prompt for the assistant's next message: {ids, text}.",
  usage: '[--model PATH|o200k]  < conversation.json',
  details:
    'In: {"messages": [{role, content: [{type, …}], channel?, recipient?, content_type?, name?}]}, the library\'s JSON form.\n' +
    'No message is added; analysis before the last final answer is dropped.',
  options: {
    model: modelOption,
    json: { type: 'boolean', help: 'accepted; the output is JSON anyway' },
  },
  async run(invocation) {
    const vocabulary = nativeVocabulary(await loadTokenizer(invocation.text('model') ?? 'o200k'))
    const { ids, text } = renderCommand(parseJson(await readStdin()), vocabulary)
    await print(`${JSON.stringify({ ids, text })}\n`)
    return 0
  },
}

export const parse: Command = {
  name: 'parse',
  summary:
    'Parses the token ids of a generation: the content delta after each id, and the messages.',
  usage: '[--model PATH|o200k]  < ids.json',
  options: {
    model: modelOption,
    json: { type: 'boolean', help: 'accepted; the output is JSON anyway' },
  },
  async run(invocation) {
    const tokenizer = await loadTokenizer(invocation.text('model') ?? 'o200k')
    const ids = Array.from(parseIds((await readStdin()).toString('utf8')))
    const wrong = ids.findIndex((id) => id >= tokenizer.vocabSize)
    if (wrong >= 0) {
      throw new CommandError(
        `Entry ${wrong}, ${ids[wrong]}, is beyond the vocabulary of ${tokenizer.vocabSize} tokens.`,
      )
    }
    await print(`${JSON.stringify(parseCommand(ids, nativeVocabulary(tokenizer)))}\n`)
    return 0
  },
}

function parseJson(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString('utf8'))
  } catch (error) {
    throw new CommandError(
      `The input is not JSON: ${error instanceof Error ? error.message : error}`,
    )
  }
}
