// The seam of a stream that goes on elsewhere: nothing said twice, and no connection left behind.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, ask } from '../wall/ask.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, type Reply, sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

let places: TestUpstream[]
let gateway: TestGateway
const headers = { 'x-switchyard-rescue': 'continue' }

beforeAll(async () => {
  places = [await startUpstream(), await startUpstream(), await startUpstream()]
  const timeouts = { headersMs: 400, firstTokenMs: 2000, idleMs: 2000 }
  const capabilities = { '*': { assistantPrefix: true } }
  const providers = Object.fromEntries(
    places.map(({ origin }, at) => [
      `p${at}`,
      { baseUrl: `${origin}/v1`, models: '*', timeouts, capabilities },
    ]),
  )
  gateway = await startGateway({ config: { providers } })
})

afterAll(async () => {
  await gateway.stop()
  for (const place of places) await place.stop()
})

function reply(...replies: Reply[]): void {
  for (const [at, each] of replies.entries()) places[at]?.reply(each)
}

/** Says these pieces, and ends or breaks once they have arrived. */
const cut =
  (how: 'end' | 'break', ...pieces: string[]): Reply =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const piece of pieces) response.write(piece)
    const end = () => (how === 'end' ? response.end() : response.socket?.resetAndDestroy())
    setTimeout(end, 300)
  }

/** The reasoning of a stream: each item's, or that of all chunks. */
function thoughtsOf(raw: string): string[] {
  const events = [...raw.matchAll(/^data: (\{.*)$/gm)].map(([, json = '']) => JSON.parse(json))
  const { response } = events.at(-1)
  if (response === undefined) {
    return [events.map(({ choices }) => choices[0]?.delta.reasoning ?? '').join('')]
  }
  const items: { type: string; content: { text: string }[] }[] = response.output
  return items
    .filter(({ type }) => type === 'reasoning')
    .map(({ content }) => content.map(({ text }) => text).join(''))
}

describe.each<Api>(['chat', 'responses'])('%s', (api) => {
  const stream = (model: string) => ask(gateway.url, { api, stream: true, model, headers })

  it('a last event without its blank line is the end of an answer, not a cut', async () => {
    const last = chunk({}, 'stop').trimEnd()
    reply(cut('end', chunk({ content: 'Hello' }), last), (response) =>
      sse(response, ...textStream(' twice')),
    )
    const verdict = await stream(`end-${api}`)
    expect(verdict).toMatchObject({ end: 'completed', text: 'Hello', complaints: [] })
    expect(places[1]?.requests).toHaveLength(0)
  })

  it('what such an event says is said once', async () => {
    const last = chunk({ content: ' there' }).trimEnd()
    reply(cut('end', chunk({ content: 'Hello' }), last), (response) =>
      sse(response, ...textStream('!')),
    )
    const verdict = await stream(`said-${api}`)
    expect(verdict).toMatchObject({ end: 'completed', text: 'Hello there!', complaints: [] })
    expect(places[1]?.requests).toMatchObject([
      { body: { messages: [{}, { role: 'assistant', content: 'Hello there' }] } },
    ])
  })

  it('thoughts that were cut and those that follow are told apart', async () => {
    reply(cut('break', chunk({ reasoning: 'Let me' })), (response) =>
      sse(
        response,
        chunk({ reasoning: 'They' }),
        chunk({ reasoning: ' greet.' }),
        ...textStream('Hi'),
      ),
    )
    const verdict = await stream(`thoughts-${api}`)
    expect(verdict).toMatchObject({ end: 'completed', text: 'Hi', complaints: [] })
    expect(thoughtsOf(verdict.raw)).toEqual(
      api === 'chat' ? ['Let me\nThey greet.'] : ['Let me', 'They greet.'],
    )
    // An incomplete item must be the last one, of a response that is incomplete.
    expect(verdict.raw).not.toContain('"status":"incomplete"')
  })

  it('thoughts about how to go on do not break the text in two', async () => {
    reply(cut('break', chunk({ reasoning: 'Let me.' }), chunk({ content: 'Hello' })), (response) =>
      sse(response, chunk({ reasoning_content: 'I go on.' }), ...textStream(' there')),
    )
    const verdict = await stream(`text-${api}`)
    expect(verdict).toMatchObject({ end: 'completed', text: 'Hello there', complaints: [] })
    expect(thoughtsOf(verdict.raw)).toEqual(['Let me.'])
    expect(verdict.raw).not.toContain('I go on')
    expect(verdict.raw.match(/"type":"response.output_item.added"/g) ?? []).toHaveLength(
      api === 'chat' ? 0 : 2,
    )
  })

  it('a place that does not take over in time is let go of at once', async () => {
    let lost: Promise<boolean> | undefined
    let lostFirst: boolean | undefined
    reply(
      cut('break', chunk({ content: 'Hello' })),
      (_response, { ended }) => {
        lost = ended
      },
      async (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(chunk({ content: ' there' }))
        // The stream goes on only when the other connection has ended.
        lostFirst = await lost
        response.end(textStream('!').slice(1).join(''))
      },
    )
    const verdict = await stream(`slow-${api}`)
    expect(verdict).toMatchObject({ end: 'completed', text: 'Hello there!', complaints: [] })
    expect(lostFirst).toBe(true)
  })
})
