// Search engines: what each is asked, what is made of its answers, and what the model is told of its faults.
import type { RequestListener } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { BackendName } from '../../../native-node/tools/browser/backends/index.ts'
import { type BrowserOptions, createBrowserTool } from '../../../native-node/tools/browser/index.ts'
import type { WebSearchSettings } from '../../../src/tools/hosted.ts'
import { FakeWeb, fixture } from './fake-web.ts'

const web = new FakeWeb()
beforeAll(() => web.start())
afterAll(() => web.stop())
beforeEach(() => {
  web.asked.length = 0
  web.answer = undefined
})

const key = 'sk-test-key-that-nobody-may-see'
const engine = (backend: BackendName, options: Partial<BrowserOptions> = {}) =>
  createBrowserTool({
    backend,
    url: backend === 'searxng' ? `${web.url}/searx/` : web.url,
    ...(backend === 'searxng' ? {} : { key }),
    egress: undefined,
    ...options,
  })
const search = (
  backend: BackendName,
  given: Record<string, unknown> = { query: 'honey bees' },
  settings: WebSearchSettings = {},
) =>
  engine(backend).call(
    { tool: 'web_search', action: 'search', arguments: given, session: 's', settings },
    new AbortController().signal,
  )
const dance = 'https://bees.example.org/dance'

describe('each engine', () => {
  it('SearXNG: a GET for JSON, without a number of results', async () => {
    const { text, sources, isError } = await search('searxng', { query: 'honey bees', topn: 1 })
    expect(isError).toBe(false)
    expect(text).toContain(`  * 【0†The waggle dance†bees.example.org】 A forager`)
    expect(sources).toEqual([{ cursor: 0, url: dance, title: 'The waggle dance', lines: [2, 3] }])
    expect(web.asked[0]).toMatchObject({ method: 'GET', path: '/searx/search', body: undefined })
    expect(Object.fromEntries(web.asked[0]?.query ?? [])).toEqual({
      q: 'honey bees',
      format: 'json',
    })
    expect(web.asked[0]?.headers.authorization).toBeUndefined()
  })

  it('Brave: its key in X-Subscription-Token, words without markup', async () => {
    const { text, sources } = await search(
      'brave',
      { query: 'honey bees', topn: '50' },
      { userLocation: { country: 'de', city: 'Köln' } },
    )
    expect(text).toContain('【0†The waggle dance & its angle†bees.example.org】')
    expect(text).toContain("it's")
    expect(text).toContain('tells how far.')
    expect(text).not.toContain('strong')
    expect(sources?.map(({ url }) => url)).toEqual([dance, 'https://honey.example.com/'])
    expect(Object.fromEntries(web.asked[0]?.query ?? [])).toEqual({
      q: 'honey bees',
      count: '20',
      country: 'DE',
      text_decorations: 'false',
      result_filter: 'web',
      extra_snippets: 'true',
    })
    expect(web.asked[0]?.headers['x-subscription-token']).toBe(key)
  })

  it('Exa: passages, and with a large context the page itself', async () => {
    const tool = engine('exa')
    const call = (action: string, given: Record<string, unknown>) =>
      tool.call(
        {
          tool: 'web_search',
          action,
          arguments: given,
          session: 's',
          settings: { contextSize: 'high', userLocation: { country: 'DE' } },
        },
        new AbortController().signal,
      )
    const { text } = await call('search', { query: 'honey bees', topn: 5 })
    expect(text).toContain('The angle of the run tells the')
    expect(text).toContain('【1†https://honey.example.com/†honey.example.com】 All about honey.')
    expect(web.asked[0]).toMatchObject({ method: 'POST', path: '/search' })
    expect(web.asked[0]?.headers['x-api-key']).toBe(key)
    expect(web.asked[0]?.body).toEqual({
      query: 'honey bees',
      type: 'auto',
      numResults: 5,
      contents: { highlights: true, text: { maxCharacters: 20_000 } },
      userLocation: 'DE',
    })
    // The page needs no fetch.
    expect((await call('open', { id: 0 })).text).toContain(
      'L4: The angle of the run tells the 【0†direction】 to the sun.',
    )
  })

  it('You.com: web and news, with domains', async () => {
    const { text, sources } = await search(
      'youcom',
      { query: 'honey bees' },
      { allowedDomains: ['bees.example.org'] },
    )
    expect(text).toContain('in the hive. … The angle tells the direction.')
    expect(sources?.map(({ url }) => url)).toEqual([dance])
    expect(web.asked[0]?.headers['x-api-key']).toBe(key)
    expect(web.asked[0]?.body).toEqual({
      query: 'honey bees',
      count: 10,
      include_domains: ['bees.example.org'],
    })
    const all = await search('youcom', { query: 'x' }, { contextSize: 'high' })
    expect(all.sources?.map(({ title }) => title)).toEqual(['The waggle dance', 'Bees are back'])
    expect(web.asked[1]?.body).toMatchObject({ livecrawl: 'web', livecrawl_formats: ['markdown'] })
  })

  it('is told the domains in its own way, and results elsewhere are left out', async () => {
    const allowedDomains = ['honey.example.com', 'b.example']
    for (const backend of ['searxng', 'brave', 'exa'] as const) {
      const { sources } = await search(backend, { query: 'bees' }, { allowedDomains })
      expect(sources?.map(({ url }) => url)).toEqual(['https://honey.example.com/'])
    }
    const sites = 'bees (site:honey.example.com OR site:b.example)'
    expect(web.asked.map(({ query, body }) => query.get('q') ?? body)).toEqual([
      sites,
      sites,
      expect.objectContaining({ includeDomains: allowedDomains, query: 'bees' }),
    ])
    await search('brave', { query: 'x'.repeat(390) }, { allowedDomains })
    expect(web.asked[3]?.query.get('q')).toBe('x'.repeat(390))
  })
})

describe('a fault of the engine is told to the model', () => {
  const answer =
    (status: number, body: string, headers: Record<string, string> = {}): RequestListener =>
    (_, response) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)

  it.each<[BackendName, string, RequestListener, string]>([
    [
      'brave',
      'a wrong key',
      answer(401, fixture('brave/unauthorized.json')),
      'Brave Search refused the search (status 401); its key may be wrong: The provided subscription token is invalid.',
    ],
    [
      'brave',
      'a limit',
      answer(429, fixture('brave/rate-limited.json'), { 'retry-after': '7' }),
      'Brave Search takes no more searches for now; try again in 7 s: Request rate limit exceeded',
    ],
    [
      'exa',
      'a wrong key',
      answer(401, fixture('exa/unauthorized.json')),
      'Exa refused the search (status 401); its key may be wrong: Invalid API key',
    ],
    [
      'exa',
      'no credit',
      answer(402, '{"error":"No more credits"}'),
      'Exa has no credit left: No more',
    ],
    [
      'youcom',
      'a wrong key',
      answer(401, fixture('youcom/unauthorized.json')),
      'You.com refused the search (status 401); its key may be wrong: Invalid or expired',
    ],
    [
      'searxng',
      'a page in place of JSON',
      answer(403, fixture('searxng/forbidden.html')),
      'SearXNG refused the search (status 403); its settings must list json under search.formats.',
    ],
    [
      'searxng',
      'HTML',
      answer(200, '<html>'),
      'something else than JSON; its settings must list json',
    ],
    [
      'youcom',
      'its own fault',
      answer(500, '{"detail":{"message":"down"}}'),
      'You.com failed (status 500): down',
    ],
    ['exa', 'an unknown form', answer(200, '{"results":{}}'), 'in a form that is not known here'],
    [
      'youcom',
      'an unknown form',
      answer(200, '{"results":[]}'),
      'in a form that is not known here',
    ],
    ['exa', 'a list', answer(200, '[]'), 'something else than JSON'],
    [
      'exa',
      'a redirect',
      answer(307, '', { location: '/elsewhere' }),
      'Exa redirects, which is not followed',
    ],
    [
      'brave',
      'an echoed key',
      answer(400, JSON.stringify({ error: `bad ${key}` })),
      '(status 400): bad [redacted].',
    ],
    [
      'exa',
      'an answer without end',
      (_, response) => {
        response.writeHead(200)
        const piece = Buffer.alloc(1 << 20, 32)
        const more = () => {
          while (response.write(piece) && !response.destroyed);
        }
        response.on('drain', more)
        more()
      },
      'Exa answered with more than 8 MiB',
    ],
    ['exa', 'a broken connection', (_, response) => response.destroy(), 'Exa could not be reached'],
  ])('%s: %s', async (backend, _, listener, message) => {
    web.answer = listener
    const { text, isError, sources } = await search(backend)
    expect(isError).toBe(true)
    expect(text).toContain('Error during search for `honey bees`: ')
    expect(text).toContain(message)
    expect(text).not.toContain(key)
    expect(sources).toBeUndefined()
  })

  it('finds nothing where Brave has no pages', async () => {
    web.answer = answer(200, '{"type":"search"}')
    expect((await search('brave')).text).toContain('(Nothing was found.)')
  })

  it('ends with the caller', async () => {
    const gone = new AbortController()
    web.answer = () => gone.abort(new Error('nobody waits'))
    const call = engine('exa').call(
      { tool: 'web_search', action: 'search', arguments: { query: 'x' }, session: 's' },
      gone.signal,
    )
    await expect(call).rejects.toThrow('nobody waits')
  })
})

describe('the configuration', () => {
  it.each<[BackendName, Partial<BrowserOptions>, string]>([
    ['searxng', { url: undefined }, 'web_search with searxng needs a url'],
    ['brave', { key: undefined }, 'web_search with brave needs a key'],
    ['exa', { key: undefined }, 'web_search with exa needs a key'],
    ['youcom', { key: undefined }, 'web_search with youcom needs a key'],
    ['searxng', { url: 'file:///etc' }, 'must be an http or https URL'],
  ])('of %s lacks something: %j', (backend, options, message) => {
    expect(() => engine(backend, options)).toThrow(message)
  })
})
