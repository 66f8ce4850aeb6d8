// Pages that the model opens: what is fetched and what is refused, and the tool as the host calls it.
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Address } from '../../../native-node/server/pinned-get.ts'
import { type BrowserOptions, createBrowserTool } from '../../../native-node/tools/browser/index.ts'
import type { WebSearchSettings } from '../../../src/tools/hosted.ts'
import { FakeWeb } from './fake-web.ts'

const web = new FakeWeb()
let origin: string
beforeAll(async () => {
  await web.start()
  origin = `http://site.test:${web.port}`
  const html = { 'content-type': 'text/html; charset=utf-8' }
  const page = '<title>Page</title><p>Bees. <a href="/next">next</a>'
  web.pages.set('/page', (_, response) => response.writeHead(200, html).end(page))
  web.pages.set('/next', (_, response) => response.writeHead(200, html).end('<p>Next.'))
  web.pages.set('/gzip', (_, response) =>
    response.writeHead(200, { ...html, 'content-encoding': 'gzip' }).end(gzipSync(page)),
  )
  web.pages.set('/br', (_, response) =>
    response.writeHead(200, { ...html, 'content-encoding': 'br' }).end(brotliCompressSync(page)),
  )
  web.pages.set('/bomb', (_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
      .end(gzipSync(Buffer.alloc(64 * 1024 * 1024, 'bees '))),
  )
  web.pages.set('/endless', (_, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    const piece = Buffer.alloc(1 << 20, 'bees ')
    const more = () => {
      while (response.write(piece) && !response.destroyed);
    }
    response.on('drain', more)
    more()
  })
  web.pages.set('/cut', (_, response) =>
    response
      .writeHead(200, { ...html, 'content-encoding': 'gzip' })
      .end(gzipSync(page).subarray(0, 20)),
  )
  web.pages.set('/zstd', (_, response) =>
    response.writeHead(200, { ...html, 'content-encoding': 'zstd' }).end('x'),
  )
  web.pages.set('/pdf', (_, response) =>
    response.writeHead(200, { 'content-type': 'application/pdf' }).end('%PDF-1.7'),
  )
  web.pages.set('/broken', (request) => request.destroy())
  web.pages.set('/silent', () => {})
  const redirects: Record<string, string> = {
    '/moved': '/page',
    '/loop': '/loop',
    '/inside': 'http://169.254.169.254/latest/meta-data/',
    '/loopback': `http://127.0.0.1:${web.port}/page`,
    '/file': 'file:///etc/passwd',
    '/data': 'data:text/plain,x',
    '/nowhere': 'http://[',
    '/away': `http://other.test:${web.port}/page`,
  }
  for (const [path, location] of Object.entries(redirects)) {
    web.pages.set(path, (_, response) => response.writeHead(302, { location }).end())
  }
})
afterAll(() => web.stop())
beforeEach(() => {
  web.fetched.length = 0
})

const create = (options: Partial<BrowserOptions> = {}) =>
  createBrowserTool({
    backend: 'searxng',
    url: `${web.url}/searx`,
    egress: { allowHosts: [`site.test:${web.port}`, `other.test:${web.port}`] },
    resolve: web.resolve,
    ...options,
  })
const signal = new AbortController().signal
function call(
  tool: ReturnType<typeof create>,
  action: string,
  given: Record<string, unknown>,
  { session = 's', settings = {} }: { session?: string; settings?: WebSearchSettings } = {},
) {
  return tool.call({ tool: 'web_search', action, arguments: given, session, settings }, signal)
}
const open = (path: string, options: Partial<BrowserOptions> = {}, settings?: WebSearchSettings) =>
  call(
    create(options),
    'open',
    { id: path.startsWith('/') ? origin + path : path },
    { ...(settings && { settings }) },
  )

describe('a page is fetched', () => {
  it.each(['/page', '/moved', '/gzip', '/br'])('%s', async (path) => {
    const { text, isError, sources } = await open(path)
    expect(isError).toBe(false)
    expect(text).toContain('L0: Bees. 【0†next】')
    const url = path === '/moved' ? `${origin}/page` : origin + path
    expect(sources).toEqual([{ cursor: 0, url, title: 'Page' }])
    expect(web.fetched.at(-1)).toBe(`site.test:${web.port}${new URL(url).pathname}`)
  })

  it('without cookies, keys or a name of its own', async () => {
    const headers: string[] = []
    web.pages.set('/headers', (request, response) => {
      headers.push(...Object.keys(request.headers), request.headers['user-agent'] ?? '')
      response.writeHead(200, { 'set-cookie': 'a=b' }).end('x')
    })
    const tool = create({ key: 'secret' })
    await call(tool, 'open', { id: `${origin}/headers` })
    await call(tool, 'open', { id: `${origin}/headers` })
    expect(new Set(headers)).toEqual(
      new Set([
        'host',
        'connection',
        'user-agent',
        'accept',
        'accept-language',
        'accept-encoding',
        'switchyard-browser/1.0',
      ]),
    )
  })

  it.each(['/bomb', '/endless'])('%s up to its bound', async (path) => {
    const { text, isError } = await open(path)
    expect(isError).toBe(false)
    expect(text).toMatch(/viewing lines \[0 - \d+\] of 6\d{3}\*\*/)
    const tool = create()
    await call(tool, 'open', { id: origin + path })
    const total = Number(/of (\d+)\*\*/.exec(text)?.[1])
    expect((await call(tool, 'open', { loc: total })).text).toContain(
      'the rest was too long to keep',
    )
  })
})

describe('a page is refused', () => {
  it.each([
    ['/pdf', 'it is a PDF, and this browser shows text only'],
    ['/none', 'it was answered with status 404'],
    ['/loop', 'it redirects more than 3 times'],
    ['/inside', 'its host is not on the list'],
    ['/loopback', 'its host is not on the list'],
    ['/file', 'it is not an http, https or data URL'],
    ['/data', 'it leads to a data URL'],
    ['/nowhere', 'it redirects to what is no URL'],
    ['/broken', 'it could not be fetched'],
    ['/cut', 'it could not be fetched'],
    ['/zstd', 'it is compressed in a way that is not known here'],
    ['http://127.0.0.1/', 'its host is not on the list'],
    ['file:///etc/passwd', 'it is not an http, https or data URL'],
    ['data:text/html,x', 'it leads to a data URL'],
    ['no url', 'it has spaces'],
  ])('%s: %s', async (path, reason) => {
    const { text, isError, sources } = await open(path)
    expect({ text, isError, sources }).toEqual({
      text: expect.stringContaining(reason),
      isError: true,
      sources: undefined,
    })
    expect(text).toMatch(/^Error fetching URL `/)
  })

  it.each([
    ['http://127.0.0.1/', 'not a public address'],
    ['http://2130706433/', 'not a public address'],
    ['http://[::1]/', 'not a public address'],
    ['http://169.254.169.254/latest/', 'not a public address'],
    ['http://localhost/', 'a name of a local network'],
    ['http://10-0-0-1.example.com/', 'spells a private address'],
    ['http://user:pass@example.com/', 'a user name or password'],
    ['http://example.com:8080/', 'its port is not 80'],
  ])('%s without a list', async (url, reason) => {
    expect((await open(url, { egress: undefined })).text).toContain(reason)
  })

  it.each<[string, Address[]]>([
    ['a private address', [{ address: '10.0.0.1', family: 4 }]],
    [
      'one of several that is private',
      [
        { address: '93.184.216.34', family: 4 },
        { address: '::1', family: 6 },
      ],
    ],
  ])('behind a name that stands for %s', async (_, addresses) => {
    const { text } = await open('http://example.com/', {
      egress: undefined,
      resolve: async () => addresses,
    })
    expect(text).toContain('its host stands for an address that is not public')
  })

  it('that redirects out of the domains of the request', async () => {
    const settings = { allowedDomains: ['site.test'] }
    expect((await open('/page', {}, settings)).isError).toBe(false)
    const away = await open('/away', {}, settings)
    expect(away).toMatchObject({ isError: true, text: expect.stringContaining('does not allow') })
    expect((await open('/away')).isError).toBe(false)
  })

  it('when nobody waits for it any more', async () => {
    for (const options of [{}, { resolve: () => new Promise<Address[]>(() => {}) }]) {
      const gone = new AbortController()
      const opened = create(options).call(
        { tool: 'web_search', action: 'open', arguments: { id: `${origin}/silent` }, session: 's' },
        gone.signal,
      )
      setTimeout(() => gone.abort(new Error('nobody waits')), 20)
      await expect(opened).rejects.toThrow('nobody waits')
    }
  })
})

describe('the tool', () => {
  it('keeps a session from call to call, apart from others', async () => {
    const tool = create()
    await call(tool, 'open', { id: `${origin}/page` }, { session: 'a' })
    expect((await call(tool, 'find', { pattern: 'bees' }, { session: 'b' })).text).toBe(
      'No pages to access!',
    )
    const found = await call(tool, 'find', { pattern: 'bees' }, { session: 'a' })
    expect(found.text).toContain('[1] Find results')
    // As models spell numbers.
    const next = await call(tool, 'open', { id: '0', cursor: '0', loc: 0.0 }, { session: 'a' })
    expect(next.text).toContain('L0: Next.')
    await tool.end('a')
    expect((await call(tool, 'open', {}, { session: 'a' })).text).toBe('No pages to access!')
  })

  it('forgets the session used longest ago', async () => {
    const tool = create()
    for (let n = 0; n < tool.maxSessions; n++) {
      await call(tool, 'open', { id: `${origin}/page` }, { session: `s${n}` })
    }
    await call(tool, 'open', {}, { session: 's0' })
    await call(tool, 'open', { id: `${origin}/page` }, { session: 'new' })
    expect((await call(tool, 'open', {}, { session: 's0' })).text).toMatch(/^\[2\] Page/)
    expect((await call(tool, 'open', {}, { session: 's1' })).text).toBe('No pages to access!')
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['search', {}, '`query` should be a string that is not empty.'],
    ['search', { query: ' ' }, '`query` should be a string that is not empty.'],
    ['search', { query: 'x'.repeat(2001) }, '`query` is longer than 2000 characters.'],
    ['search', { query: 'x', topn: 'many' }, '`topn` should be an integer.'],
    ['open', { id: {} }, '`id` should be an integer.'],
    ['open', { loc: [] }, '`loc` should be an integer.'],
    ['find', { pattern: ['x'] }, '`pattern` should be a string that is not empty.'],
    ['click', {}, '{"error":"Unknown function: click"}'],
  ])('tells the model what is wrong with %s %j', async (action, given, text) => {
    expect(await call(create(), action, given)).toEqual({ isError: true, text })
  })

  it('fetches nothing where the request allows no access to the web', async () => {
    const settings = { offline: true } as const
    const { text, isError } = await call(create(), 'open', { id: `${origin}/page` }, { settings })
    expect({ isError, text }).toMatchObject({ isError: true, text: expect.stringContaining('off') })
    expect(web.fetched).toEqual([])
  })

  it('ends what runs when it is closed', async () => {
    const tool = create()
    const opened = call(tool, 'open', { id: `${origin}/silent` })
    setTimeout(() => void tool.close(), 20)
    await expect(opened).rejects.toThrow('The browser was closed.')
    await expect(call(tool, 'open', {})).rejects.toThrow('The browser was closed.')
  })
})
