// web_search from end to end: a scripted model, the loop, the browser itself, an engine and pages on loopback.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createBrowserTool } from '../../../native-node/tools/browser/index.ts'
import { createToolHost, type ToolHost } from '../../../native-node/tools/host.ts'
import { handleResponses } from '../../../src/index.ts'
import { FakeWeb } from '../../native-node/tools/fake-web.ts'
import { checkOrder } from '../../oracle/order.ts'
import { eventsOf } from '../support.ts'
import { candidate, host, post } from '../upstream.ts'
import { type Json, kinds, model, turn } from './script.ts'

const web = new FakeWeb()
let tools: ToolHost | undefined
beforeAll(async () => {
  await web.start()
  web.pages.set('/dance', (_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/html' })
      .end('<title>The dance</title><p>🐝 The angle tells the direction.'),
  )
})
afterAll(() => web.stop())
afterEach(() => tools?.close())

function stage(turns: readonly (readonly object[])[]) {
  tools = createToolHost({
    tools: [
      createBrowserTool({
        backend: 'searxng',
        url: `${web.url}/searx`,
        egress: { allowHosts: ['bees.example.org', `site.test:${web.port}`] },
        resolve: web.resolve,
      }),
    ],
    callMs: 20_000,
  })
  const made = host([candidate(), model(turns)])
  made.deps.hosted = tools
  return made
}

async function answer(fields: Json, turns: readonly (readonly object[])[]) {
  const made = stage(turns)
  const request: Json = {
    model: 'test/model',
    input: 'How do bees dance?',
    tools: [{ type: 'web_search' }],
    ...fields,
  }
  const response = await handleResponses(post(request), made.deps)
  if (request.stream !== true)
    return { ...made, events: [], final: (await response.json()) as Json }
  const events = eventsOf(await response.text())
  expect(checkOrder(events)).toEqual([])
  return { ...made, events, final: events.at(-1)?.response as Json }
}

const search = { name: 'browser__search', args: { query: 'honey bees' } }
const open = { name: 'browser__open', args: { id: `http://site.test:1/dance` } }
const sliced = (text: string, { start_index, end_index }: Json) =>
  [...text].slice(Number(start_index), Number(end_index)).join('')

describe('web_search', () => {
  it.each([false, true])('searches, opens, finds and cites (stream: %s)', async (stream) => {
    const url = `http://site.test:${web.port}/dance`
    const { final, events, sent } = await answer(
      { stream, include: ['web_search_call.action.sources'] },
      [
        turn([search]),
        turn([{ ...open, args: { id: url } }]),
        turn([{ name: 'browser__find', args: { pattern: 'angle' } }]),
        turn('🐝 By an angle【1†L0】; more【0†L2-L3】 and 【9†L1】.'),
      ],
    )
    expect(kinds(final)).toEqual([
      'web_search_call',
      'web_search_call',
      'web_search_call',
      'message',
    ])
    const [searched, opened, found, message] = final.output as Json[]
    expect(searched).toMatchObject({
      status: 'completed',
      action: {
        type: 'search',
        query: 'honey bees',
        sources: [
          { type: 'url', url: 'https://bees.example.org/dance' },
          { type: 'url', url: 'https://honey.example.com/' },
        ],
      },
    })
    expect(opened).toMatchObject({ status: 'completed', action: { type: 'open_page', url } })
    expect(found?.action).toEqual({ type: 'find_in_page', url, pattern: 'angle' })

    const part = (message?.content as Json[] | undefined)?.[0]
    const text = String(part?.text)
    const annotations = part?.annotations as Json[]
    expect(text).toBe(
      `🐝 By an angle ([site.test](${url})) ; more ([bees.example.org](https://bees.example.org/dance))  and 【9†L1】.`,
    )
    expect(annotations).toMatchObject([
      { type: 'url_citation', url, title: 'The dance' },
      { type: 'url_citation', url: 'https://bees.example.org/dance', title: 'The waggle dance' },
    ])
    expect(annotations.map((one) => sliced(text, one))).toEqual([
      `([site.test](${url}))`,
      '([bees.example.org](https://bees.example.org/dance))',
    ])
    if (stream) {
      const told = (type: string) => events.filter((event) => event.type === `response.${type}`)
      expect(
        told('output_text.delta')
          .map(({ delta }) => delta)
          .join(''),
      ).toBe(text)
      expect(told('output_text.annotation.added').map(({ annotation }) => annotation)).toEqual(
        annotations,
      )
      for (const type of ['in_progress', 'searching', 'completed']) {
        expect(told(`web_search_call.${type}`)).toHaveLength(3)
      }
    }
    // What the model read of the page.
    const messages = sent[2]?.body.messages as Json[]
    expect(messages.at(-1)?.content).toContain('L0: 🐝 The angle tells the direction.')
  })

  it('goes on after a page that is refused, which its item tells', async () => {
    const { final, sent } = await answer({}, [
      turn([{ ...open, args: { id: 'http://127.0.0.1/' } }]),
      turn('I could not.'),
    ])
    expect(kinds(final)).toEqual(['web_search_call', 'message'])
    expect((final.output as Json[])[0]).toMatchObject({
      status: 'failed',
      action: { type: 'open_page', url: 'http://127.0.0.1/' },
    })
    const messages = sent[1]?.body.messages as Json[]
    expect(messages.at(-1)?.content).toContain('Error fetching URL `http://127.0.0.1/`')
  })

  it('keeps to the domains of the request', async () => {
    const tools = [{ type: 'web_search', filters: { allowed_domains: ['honey.example.com'] } }]
    const { sent } = await answer({ tools }, [
      turn([search]),
      turn([{ ...open, args: { id: `http://site.test:${web.port}/dance` } }]),
      turn('Done.'),
    ])
    const outputs = sent.map(({ body }) => String((body.messages as Json[]).at(-1)?.content))
    expect(outputs[1]).toContain('honey.example.com')
    expect(outputs[1]).not.toContain('bees.example.org')
    expect(outputs[2]).toContain('its domain is not one that the request allows')
  })

  it('refuses a filter that is not known', async () => {
    const tools = [{ type: 'web_search', filters: { blocked_domains: ['x.example'] } }]
    const { final } = await answer({ tools }, [])
    expect(final.error).toMatchObject({ param: 'tools[0].filters.blocked_domains' })
  })
})
