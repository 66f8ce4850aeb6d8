// `switchyard tokenize`: standard input to token ids, byte for byte, and back.
import { type Command, CommandError, print, readStdin } from './command.ts'
import { loadTokenizer } from './vocabulary.ts'

export const tokenize: Command = {
  name: 'tokenize',
  summary:
    'Encodes standard input, taken byte for byte, to a bare JSON array of token ids; --decode goes back.',
  usage: '--model PATH|o200k [--decode]',
  details:
    'Text is ordinary text: <|start|> typed in it stays text. --decode writes the bytes, control tokens by name.',
  options: {
    model: {
      type: 'string',
      value: 'PATH|o200k',
      help: "folder with tokenizer.json, GGUF file, or gpt-oss's vocabulary",
      required: true,
    },
    decode: { type: 'boolean', help: 'a JSON array of ids in, bytes out' },
    json: { type: 'boolean', help: 'accepted; the output is JSON anyway' },
  },
  async run(invocation) {
    const tokenizer = await loadTokenizer(invocation.text('model') ?? '')
    const input = await readStdin()
    if (invocation.flag('decode')) {
      await print(tokenizer.decode(parseIds(input.toString('utf8'))))
      return 0
    }
    const ids = await tokenizer.encodeAsync(input)
    await print(`[${ids.join(',')}]\n`)
    return 0
  },
}

/** A JSON array of token ids; throws CommandError naming what it is not. */
export function parseIds(json: string): Int32Array {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw new CommandError(
      `The input is not JSON: ${error instanceof Error ? error.message : error}`,
    )
  }
  if (!Array.isArray(value)) throw new CommandError('The input is not a JSON array of token ids.')
  const wrong = value.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 31)
  if (wrong >= 0) throw new CommandError(`Entry ${wrong} is not a token id.`)
  return Int32Array.from(value as number[])
}
