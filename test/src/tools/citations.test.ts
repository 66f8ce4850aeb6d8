// Citations of the browser become links with annotations, however the stream cuts the text.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CitationRewriter,
  CitationSources,
  type FindSource,
  type UrlCitation,
} from '../../../src/tools/citations.ts'

const pages: Record<number, { url: string; title: string }> = {
  0: { url: 'https://www.example.com/a?b=c', title: 'An Example' },
  3: { url: 'https://en.wikipedia.org/wiki/Bee_(animal)', title: 'Bee — Wikipedia' },
  7: { url: '', title: 'no page' },
  12: { url: 'http://untitled.example.org/', title: '' },
}
const find: FindSource = (cursor) => pages[cursor]

function rewrite(pieces: readonly string[], sources = find) {
  const rewriter = new CitationRewriter(sources)
  const parts = [...pieces.map((piece) => rewriter.push(piece)), rewriter.end()]
  return {
    text: parts.map(({ text }) => text).join(''),
    annotations: parts.flatMap(({ annotations }) => annotations),
  }
}

/** As a Python client slices. */
const slice = (text: string, { start_index, end_index }: UrlCitation) =>
  [...text].slice(start_index, end_index).join('')

describe('the rewriter', () => {
  it('makes a link with an annotation whose indices cut it out', () => {
    const { text, annotations } = rewrite(['Bees dance【0†L9-L11】, it says.'])
    expect(text).toBe('Bees dance ([example.com](https://www.example.com/a?b=c)) , it says.')
    expect(annotations).toEqual([
      {
        type: 'url_citation',
        start_index: 11,
        end_index: 57,
        url: 'https://www.example.com/a?b=c',
        title: 'An Example',
      },
    ])
    expect(annotations.map((one) => slice(text, one))).toEqual([
      '([example.com](https://www.example.com/a?b=c))',
    ])
  })

  it('counts code points, and lets no link end early', () => {
    const { text, annotations } = rewrite(['🐝🐝 fly【3†L1】 🐝【12†L3†x】'])
    expect(annotations.map((one) => slice(text, one))).toEqual([
      '([en.wikipedia.org](https://en.wikipedia.org/wiki/Bee_%28animal%29))',
      '([untitled.example.org](http://untitled.example.org/))',
    ])
    expect(annotations[0]).toMatchObject({ start_index: 7, url: pages[3]?.url })
    expect(annotations[1]).toMatchObject({ title: 'untitled.example.org' })
  })

  it.each([
    ['an unknown cursor', 'so【5†L1】.'],
    ['a page without a URL', 'so【7†L1】.'],
    ['other brackets', '【注意】 and 【3】 and 【†L1】 and 【3†】'],
    ['a line break within', '【3†L1\n】'],
    ['a citation that never ends', 'so【3†L1'],
    ['a citation that is no longer one', `【3†${'x'.repeat(97)}】`],
    ['a half of a pair', 'so\ud83d'],
  ])('keeps %s literally', (_, text) => {
    expect(rewrite([text])).toEqual({ text, annotations: [] })
    expect(rewrite(text.split(''))).toEqual({ text, annotations: [] })
  })

  it('takes the longest citation there is', () => {
    expect(rewrite([`【3†${'x'.repeat(96)}】`]).annotations).toHaveLength(1)
  })

  it('begins anew at a bracket within a bracket', () => {
    expect(rewrite(['【3†【0†L1】']).text).toBe(
      '【3† ([example.com](https://www.example.com/a?b=c)) ',
    )
  })

  it('holds back only what may still become a citation', () => {
    const rewriter = new CitationRewriter(find)
    expect(rewriter.push('one 【3').text).toBe('one ')
    expect(rewriter.push('†L1').text).toBe('')
    expect(rewriter.push(' to the end】 two').text).toMatch(/^ \(\[en\.wikipedia/)
    expect(rewriter.push('【x').text).toBe('【x')
    expect(rewriter.push(`【3†${'x'.repeat(200)}`).text).toHaveLength(203)
    expect(rewriter.push('\ud83d').text).toBe('')
    expect(rewriter.push('\udc1d').text).toBe('🐝')
  })

  it('tells the same for every split of the stream', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '【',
        '】',
        '†',
        '【3†L1】',
        '【0†L9-L11†x】',
        '【5†L1】',
        '🐝',
        '\n',
        '【12†',
      ),
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.integer({ min: 0, max: 140 }).map((length) => 'x'.repeat(length)),
    )
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }).map((list) => list.join('')),
        fc.array(fc.nat({ max: 400 }), { maxLength: 12 }),
        (text, cuts) => {
          const whole = rewrite([text])
          expect(rewrite(text.split(''))).toEqual(whole)
          const at = [0, ...cuts.sort((a, b) => a - b), text.length]
          expect(rewrite(at.map((cut, n) => text.slice(cut, at[n + 1] ?? cut)))).toEqual(whole)
          for (const one of whole.annotations)
            expect(slice(whole.text, one)).toMatch(/^\(\[.*\)\)$/)
          // Nothing but citations is changed.
          if (!text.includes('†')) expect(whole.text).toBe(text)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('the sources', () => {
  const sources = new CitationSources()
  sources.add([
    { cursor: 0, url: 'https://a.example/', title: 'A', lines: [2, 4] },
    { cursor: 0, url: 'https://b.example/', title: 'B', lines: [6, 9] },
  ])
  sources.add([{ cursor: 1, url: 'https://a.example/', title: 'A' }])

  it('finds the hit whose lines are cited', () => {
    const { annotations } = rewrite(['x【0†L6-L8】【1†L1】【0†L5】【0†all】'], sources.find)
    expect(annotations.map(({ url }) => url)).toEqual(['https://b.example/', 'https://a.example/'])
  })

  it('finds the first hit of those whose lines are cited together', () => {
    const { annotations, text } = rewrite(
      ['【0†L1-L3】【0†L4-9】【0†L7-L99】【0†L0-L1】'],
      sources.find,
    )
    expect(annotations.map(({ url }) => url)).toEqual([
      'https://a.example/',
      'https://a.example/',
      'https://b.example/',
    ])
    expect(text).toContain('【0†L0-L1】')
  })

  it('takes the newer page of a cursor', () => {
    const newer = new CitationSources()
    newer.add([{ cursor: 1, url: 'https://a.example/', title: 'A' }])
    newer.add([{ cursor: 1, url: 'https://c.example/', title: 'C' }])
    expect(newer.find(1)?.url).toBe('https://c.example/')
  })
})
