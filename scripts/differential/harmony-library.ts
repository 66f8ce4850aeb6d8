// OpenAI's harmony library (Rust, compiled to WebAssembly by the npm package openai-harmony) as an oracle.
// It is no dependency: `npm install --prefix DIR openai-harmony@0.4.0` puts it anywhere.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { o200kRanksFile } from '../../native-node/cli/vocabulary.ts'
import type { ParsedMessage } from '../../native-node/server/harmony-parse.ts'

export interface HarmonyEncoding {
  renderConversationForCompletion(
    conversation: unknown,
    role: 'assistant',
    config: { auto_drop_analysis: boolean },
  ): Uint32Array
  parseMessagesFromCompletionTokens(ids: Uint32Array, role: string): string
}

export interface StreamableParser {
  process(id: number): void
  free(): void
  readonly lastContentDelta: string | undefined
  readonly currentContent: string
  readonly messages: string
  readonly state: string
}

export interface HarmonyLibrary {
  encoding: HarmonyEncoding
  parser(): StreamableParser
}

/** Loads it from the folder that it was installed in. */
export async function loadHarmonyLibrary(folder: string): Promise<HarmonyLibrary> {
  const ranks = readFileSync(o200kRanksFile())
  const server = createServer((_, response) => response.end(ranks))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const web = globalThis.fetch
  // The package fetches its own .wasm by a file: URL, which Node's fetch refuses.
  globalThis.fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input)
    if (!url.startsWith('file:')) return web(input, init)
    return new Response(readFileSync(new URL(url)), {
      headers: { 'content-type': 'application/wasm' },
    })
  }
  try {
    const entry = createRequire(join(resolve(folder), 'x.js')).resolve('openai-harmony')
    const library = await import(pathToFileURL(entry).href)
    const name = library.HarmonyEncodingName
    const encoding = await library.load_harmony_encoding(name, `http://127.0.0.1:${port}/`)
    return { encoding, parser: () => new library.JsStreamableParser(encoding, 'assistant') }
  } finally {
    globalThis.fetch = web
    server.close()
  }
}

type LibraryMessage = Omit<ParsedMessage, 'content'> & { content: { text: string }[] | string }

/** The messages that a parser has read, their content as text. */
export function libraryMessages(parser: StreamableParser): ParsedMessage[] {
  const messages = JSON.parse(parser.messages) as LibraryMessage[]
  return messages.map(({ content, ...rest }) => ({
    ...withContentType(rest),
    content: typeof content === 'string' ? content : content.map(({ text }) => text).join(''),
  }))
}

/** `final <|constrain|>json`: 0.4.0 takes a lone content type for a recipient, which later versions do not. */
function withContentType(message: Omit<ParsedMessage, 'content'>): Omit<ParsedMessage, 'content'> {
  const { recipient, ...rest } = message
  return recipient?.startsWith('<|constrain|>') ? { ...rest, content_type: recipient } : message
}
