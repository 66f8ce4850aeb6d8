// The browser's rules: displays and cursors, windows, links, find, refusals, and what is forgotten.
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { beforeEach, describe, expect, it } from 'vitest'
import type { SearchHit } from '../../../native-node/tools/browser/backends/backend.ts'
import { documentText } from '../../../native-node/tools/browser/document-text.ts'
import { type Page, pageFrom } from '../../../native-node/tools/browser/pages.ts'
import {
  BrowserError,
  BrowserSession,
  type OpenArguments,
} from '../../../native-node/tools/browser/session.ts'

const site = 'https://bees.example'
let html: Record<string, string>
let hits: SearchHit[]
let fetched: string[]
let clock: number
let session: BrowserSession
beforeEach(() => {
  html = {
    '/': '<title>Bees</title><h1>Bees</h1><p>See <a href="/dance">the dance</a> or <a href="https://h.example/">honey</a>.',
    '/dance': `<title>Dance</title>${Array.from({ length: 40 }, (_, n) => `<p>Line ${n} of the dance of bees.`).join('')}<p>The angle of the run tells the direction.`,
    '/long': `<title>Long</title>${'<p>Some words of a page that goes on and on.'.repeat(2000)}`,
    '/empty': '<script>x</script>',
    '/a%20b【': '<title>Odd</title>x',
  }
  hits = [
    {
      title: 'The dance',
      url: `${site}/dance`,
      snippet: 'The angle of the run tells the direction. …',
    },
    { title: 'A【b】†c', url: 'https://h.example/', snippet: `Honey\n${'is sweet '.repeat(20)}` },
    { title: '', url: 'https://untitled.example/', snippet: '' },
    { title: 'twice', url: `${site}/dance`, snippet: '' },
    { title: 'no web', url: 'ftp://x/', snippet: '' },
  ]
  fetched = []
  clock = 0
  session = new BrowserSession({
    count: countTokens,
    now: () => clock,
    search: async () => hits,
    fetch: async (url, source) => {
      fetched.push(source ? `source ${url}` : url)
      const body = html[url.replace(site, '')]
      if (body === undefined) throw new Error('it was answered with status 404')
      const bytes = new TextEncoder().encode(body)
      const page: Page = pageFrom(
        url,
        clock,
        documentText({ url, contentType: 'text/html; charset=utf-8', bytes }, source),
      )
      return source ? { ...page, kind: 'source' } : page
    },
  })
})

const signal = new AbortController().signal
const nothing: OpenArguments = {
  id: undefined,
  cursor: undefined,
  loc: undefined,
  numLines: undefined,
  viewSource: false,
}
const open = (given: Partial<OpenArguments> = {}, settings = {}) =>
  session.open({ ...nothing, ...given }, settings, signal)
const search = (topn = 10, settings = {}) => session.search('honey bees', topn, settings, signal)
const find = (pattern: string, cursor?: number) => session.find(pattern, cursor, {})

describe('a display', () => {
  it('has its cursor, title, URL and lines', async () => {
    expect(await open({ id: `${site}/` })).toEqual({
      text: `[0] Bees (https://bees.example/)
**viewing lines [0 - 2] of 2**

L0: # Bees
L1: 
L2: See 【0†the dance】 or 【1†honey†h.example】.`,
      sources: [{ cursor: 0, url: `${site}/`, title: 'Bees' }],
    })
  })

  it('of search results has links with snippets, and their lines to be cited', async () => {
    expect(await search()).toEqual({
      text: `[0] honey bees
**viewing lines [0 - 6] of 6**

L0: # Search Results
L1: 
L2:   * 【0†The dance†bees.example】 The angle of the run tells the direction. …
L3:   * 【1†A〖b〗‡c†h.example】 Honey is sweet is sweet is sweet is sweet is sweet is 
L4: sweet is sweet is sweet is sweet is sweet is sweet is sweet is sweet is sweet is
L5:  sweet is sweet is sweet is sweet is sweet is sweet
L6:   * 【2†https://untitled.example/†untitled.example】`,
      sources: [
        { cursor: 0, url: `${site}/dance`, title: 'The dance', lines: [2, 2] },
        { cursor: 0, url: 'https://h.example/', title: 'A〖b〗‡c', lines: [3, 5] },
        {
          cursor: 0,
          url: 'https://untitled.example/',
          title: 'https://untitled.example/',
          lines: [6, 6],
        },
      ],
    })
    hits = []
    expect((await search()).text).toContain('(Nothing was found.)')
  })

  it('shows as many lines as fit its window, which the request may size', async () => {
    const shown = async (settings: object) => {
      const { text } = await open({ id: `${site}/long` }, settings)
      const lines = text.split('\n\n').slice(1).join('\n\n')
      const end = Number(/\[0 - (\d+)\]/.exec(text)?.[1])
      return { tokens: countTokens(lines), end }
    }
    const medium = await shown({})
    expect(medium.tokens).toBeLessThanOrEqual(1024)
    expect(medium.tokens).toBeGreaterThan(980)
    expect((await shown({ contextSize: 'low' })).tokens).toBeLessThanOrEqual(512)
    const high = await shown({ contextSize: 'high' })
    expect(high.tokens).toBeGreaterThan(1900)
    expect(high.end).toBeGreaterThan(medium.end)
  })

  it('shows as many lines as asked for, within reason', async () => {
    const view = async (given: Partial<OpenArguments>) =>
      /viewing lines (.*)\*\*/.exec((await open(given)).text)?.[1]
    await open({ id: `${site}/long` })
    expect(await view({ loc: 10, numLines: 5 })).toBe('[10 - 14] of 3998')
    expect(await view({ numLines: 1_000_000 })).toBe('[0 - 999] of 3998')
    expect(await view({ loc: 3997, numLines: 50 })).toBe('[3997 - 3998] of 3998')
  })

  it('tells of a page without text, and of an odd URL', async () => {
    expect((await open({ id: `${site}/empty` })).text).toContain('L0: (This page has no text.)')
    expect((await open({ id: `${site}/a%20b【` })).text).toMatch(
      /^\[1\] Odd \(https:\/\/bees\.example\/a b \)\n/,
    )
  })
})

describe('open', () => {
  it('follows the link of any page that is shown, each time under a new cursor', async () => {
    await open({ id: `${site}/` })
    expect((await open({ id: 0 })).text).toMatch(/^\[1\] Dance/)
    expect((await open({ id: 0, cursor: 0 })).text).toMatch(/^\[2\] Dance/)
    expect((await open({ cursor: 0 })).text).toMatch(/^\[3\] Bees/)
    expect((await open()).text).toMatch(/^\[4\] Bees/)
    expect(fetched).toEqual([`${site}/`, `${site}/dance`])
  })

  it('fetches anew what is told by URL, and what was read long ago', async () => {
    await open({ id: `${site}/` })
    await open({ id: `${site}/` })
    expect(fetched).toHaveLength(2)
    await open({ id: 0 })
    clock = 16 * 60_000
    await open({ id: 0, cursor: 0 })
    expect(fetched).toHaveLength(4)
  })

  it('takes a URL without its scheme', async () => {
    await open({ id: 'bees.example/dance' })
    expect(fetched).toEqual([`${site}/dance`])
  })

  it('jumps to four lines before the snippet of a search', async () => {
    await search()
    expect((await open({ id: 0 })).text).toContain('**viewing lines [76 - 80] of 80**')
    expect((await open({ id: 0, cursor: 0, loc: 2, numLines: 1 })).text).toContain('[2 - 2]')
  })

  it('shows the page that the search engine gave, without fetching it', async () => {
    hits = [{ title: 'x', url: `${site}/md`, snippet: '', text: '# Given\n\nSee [x](/y).' }]
    await search()
    const { text } = await open({ id: 0 })
    expect(text).toContain('[1] Given (https://bees.example/md)')
    expect(text).toContain('L2: See 【0†x】.')
    expect(fetched).toEqual([])
  })

  it('shows the source, which is not taken for the page', async () => {
    await open({ id: `${site}/` })
    expect((await open({ viewSource: true })).text).toContain(
      'L0: <title>Bees</title><h1>Bees</h1>',
    )
    await open({ id: 0, cursor: 0, viewSource: true })
    await open({ id: `view-source:${site}/` })
    await open({ id: 0, cursor: 0 })
    expect(fetched).toEqual([
      `${site}/`,
      `source ${site}/`,
      `source ${site}/dance`,
      `source ${site}/`,
      `${site}/dance`,
    ])
  })

  it.each<[string, Partial<OpenArguments>, string]>([
    ['an unknown link', { id: 7 }, 'Invalid link id `7`.'],
    [
      'an unknown cursor',
      { cursor: 4 },
      'Cursor `4` is out of range. Available cursor indices: [0 - 0].',
    ],
    [
      'a line beyond the page',
      { loc: 3 },
      'Invalid location parameter: `3`. Cannot exceed page maximum of 2.',
    ],
    [
      'a page that is not there',
      { id: `${site}/x` },
      `Error fetching URL \`${site}/x\`: it was answered with status 404.`,
    ],
  ])('says what is wrong with %s, and no cursor is used up', async (_, given, message) => {
    await open({ id: `${site}/` })
    await expect(open(given)).rejects.toThrow(new BrowserError(message))
    expect((await open()).text).toMatch(/^\[1\] /)
  })

  it('needs a page to begin with', async () => {
    await expect(open()).rejects.toThrow('No pages to access!')
    await expect(async () => find('x')).rejects.toThrow('No pages to access!')
    await search()
    await expect(open({ viewSource: true })).rejects.toThrow('no source')
  })
})

describe('find', () => {
  it('shows each match with the lines after it, and leads there', async () => {
    await open({ id: `${site}/dance` })
    const { text, sources } = find('THE DIRECTION')
    expect(
      text,
    ).toBe(`[1] Find results for text: \`THE DIRECTION\` in \`Dance\` (https://bees.example/dance)
**viewing lines [0 - 1] of 1**

L0: # 【0†match at L80】
L1: The angle of the run tells the direction.`)
    expect(sources).toEqual([{ cursor: 1, url: `${site}/dance`, title: 'Dance' }])
    expect((await open({ id: 0 })).text).toContain('[76 - 80] of 80')
    expect(fetched).toHaveLength(1)
  })

  it('shows at most 50 matches, four lines apart', async () => {
    await open({ id: `${site}/long` })
    find('WORDS')
    let text = ''
    for (let loc = 0; loc < 299; loc += 50)
      text += (await open({ cursor: 1, loc, numLines: 50 })).text
    expect(text.match(/†match at L\d+】/g)).toHaveLength(50)
    expect(text).toContain('【1†match at L4】')
    expect(text).toContain('【49†match at L196】')
    expect(text).toContain('of 298**')
  })

  it('looks at the text of links', async () => {
    await open({ id: `${site}/` })
    expect(find('the dance or honey.').text).toContain('L1: See the dance or honey.')
    expect(find('h.example', 0).text).toContain('L0: No `find` results for pattern: `h.example`')
  })

  it('is refused on pages of results', async () => {
    await search()
    expect(() => find('bees')).toThrow('Cannot run `find` on')
    await open({ id: `${site}/` })
    find('bees')
    expect(() => find('bees')).toThrow('Cannot run `find` on')
    expect(find('bees', 1).text).toMatch(/^\[3\] /)
  })
})

describe('allowed domains', () => {
  const settings = { allowedDomains: ['h.example'] }
  it('hold for results, for pages and for what was opened before', async () => {
    const { sources } = await search(10, settings)
    expect(sources.map(({ url }) => url)).toEqual(['https://h.example/'])
    await expect(open({ id: `${site}/` }, settings)).rejects.toThrow('its domain is not one')
    expect(fetched).toEqual([])
    await open({ id: `${site}/` })
    await expect(open({}, settings)).rejects.toThrow('not one that the request allows')
    expect(() => session.find('bees', undefined, settings)).toThrow('not one that the request')
  })
})

describe('a session', () => {
  it('keeps 64 displays, and counts on', async () => {
    for (let n = 0; n < 66; n++) await open({ id: `${site}/` })
    await expect(open({ cursor: 1 })).rejects.toThrow(
      'Cursor `1` is out of range. Available cursor indices: [2 - 65].',
    )
    expect((await open({ cursor: 2 })).text).toMatch(/^\[66\] /)
  })

  it('keeps no more than 4 Mi characters of text', async () => {
    const size = Math.ceil((4 * 1024 * 1024) / (300 * 1024))
    for (let n = 0; n < size; n++) {
      html[`/big${n}`] = `<p>${'x'.repeat(300 * 1024)}`
      await open({ id: `${site}/big${n}` })
    }
    await expect(open({ cursor: 0 })).rejects.toThrow('out of range')
    expect((await open({ cursor: size - 1 })).text).toContain(`[${size}] `)
    // Pages that came with a search count as well.
    hits = [{ title: 'x', url: `${site}/md`, snippet: '', text: 'x'.repeat(4 * 1024 * 1024) }]
    await search()
    await expect(open({ cursor: size })).rejects.toThrow(`indices: [${size + 1} - ${size + 1}]`)
  })
})
