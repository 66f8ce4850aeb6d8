// Pages as text: marks of links and pictures, lists and tables, charsets; and pages that want to do harm.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DocumentError, documentText } from '../../../native-node/tools/browser/document-text.ts'
import { decodeEntities } from '../../../native-node/tools/browser/html-entities.ts'
import { htmlToText } from '../../../native-node/tools/browser/html-text.ts'
import {
  lineOfSnippet,
  linesThatFit,
  numbered,
  withoutLinks,
  wrapLines,
} from '../../../native-node/tools/browser/lines.ts'
import { maxPageText } from '../../../native-node/tools/browser/page-text.ts'

const at = 'https://bees.example/wiki/bee'
const textOf = (html: string) => htmlToText(html, at).text

const page = `<!doctype html><html><head><title>Bees &amp; more【x】</title><style>p{}</style>
<script>if (a<b) document.write("<p>no</p>")</script></head><body>
<nav><a href="/home">Home</a></nav>
<h1>The <em>bee</em></h1>
<p>Bees fly.   See <a href="/wiki/honey">honey</a>, <a href="https://other.example/x?a=1&amp;b=2&copy=3">other†site</a>
and <a href="honey"> honey again </a>. <a href="#top">Top</a> <a href="mailto:a@b.c">mail</a> <a href="javascript:x()">js</a></p>
<p>Line<br>break 【marks】 x<sup>2</sup> H<sub>2</sub>O</p>
<ul><li>one<li>two <ul><li>nested</ul><li>three</ul>
<ol start=3><li>c</li><li>d</li></ol>
<table><thead><tr><th>Name<th>Size</tr></thead><tr><td><p>Worker</p></td><td>12 mm</td></tr><tr><td></td><td>x</td></tr></table>
<pre>
a  b
  c
</pre>
<img src=x alt="A bee"><img src=y> <a href=/big><img alt=logo src=z></a>
<div hidden>secret</div><div style="display: none">secret</div><template>secret</template>
<footer>foot &copy; 2020 &#x1F41D; &#128; &unknown; &#xD800;</footer>`

describe('a page', () => {
  it('reads as a person reads it', () => {
    const { title, text, links } = htmlToText(page, at)
    expect(title).toBe('Bees & more〖x〗')
    expect(text).toBe(`# The bee

Bees fly. See 【0†honey】, 【1†other‡site†other.example】 and 【0†honey again】 . Top mail js

Line
break 〖marks〗 x^{2} H_{2}O

  * one
  * two
    * nested
  * three

  3. c
  4. d

Name | Size
Worker | 12 mm
| x

a  b
  c

[Image 0: A bee] 【2†[Image 1: logo]】
foot © 2020 🐝 € &unknown; \ufffd`)
    expect(links).toEqual([
      'https://bees.example/wiki/honey',
      'https://other.example/x?a=1&b=2&copy=3',
      'https://bees.example/big',
    ])
  })

  it.each([
    ['a menu that is never closed', '<nav><a href=/x>m</a><main>matter</main>', 'matter'],
    [
      'nothing but menus',
      '<nav><a href=/x>one</a> <a href=/y>two</a></nav>',
      '【0†one】 【1†two】',
    ],
    ['a link that is never closed', `<a href=/x>${'w '.repeat(300)}<p>next`, /†w w .*\n\nnext$/s],
    [
      'a base',
      '<base href="//cdn.example/d/"><base href=//x.example/><a href=y>t</a>',
      '【0†t†cdn.example】',
    ],
    ['a link over blocks', '<a href=/x><div>a</div><div>b</div></a>', '【0†a b】'],
    [
      'links that lead nowhere',
      '<a href="http://[">a</a> <a href="ftp://x/">b</a> <a>c</a>',
      'a b c',
    ],
    ['a link without words', 'a<a href=/x> </a>b', 'a b'],
    ['text that looks like tags', 'a < b, c <3 d << e', 'a < b, c <3 d << e'],
    ['comments', 'a<!-- <p>x</p> -->b<!-->c<!doctype x><?php x ?>d', 'abcd'],
    ['attributes in quotes', `<p title="a > b" data-x='"'>c`, 'c'],
    ['a text that is preformatted and linked', '<pre>a\n<a href=/x>b\nc</a></pre>', 'a\n【0†b c】'],
    [
      'a table within a table',
      '<table><tr><td><table><tr><td>a<td>b</table><td>c</table>',
      'a | b | c',
    ],
    [
      'a form',
      '<form><label>Name</label><input><select><option>x</select><button>Go</button></form>',
      'Name',
    ],
    ['marks of direction', 'a\u202eb\u200bc\u0007d\u00ade', 'abcde'],
    ['no text', '<script>x</script>', ''],
    ['a tag at the end', 'text<p title="', 'text'],
    ['upper case', '<SCRIPT>x</sCript ><H2>T</H2>', '## T'],
  ])('may have %s', (_, html, expected) => {
    if (typeof expected === 'string') expect(textOf(html)).toBe(expected)
    else expect(textOf(html)).toMatch(expected)
  })

  it('keeps no more than its bounds', () => {
    const { text, isCut, links } = htmlToText(
      Array.from({ length: 90_000 }, (_, n) => `<p><a href="/${n}">${n}</a>`).join(''),
      at,
    )
    expect(isCut).toBe(true)
    expect(text.length).toBeLessThanOrEqual(maxPageText)
    expect(links.length).toBe(5000)
  })
})

describe('any page', () => {
  const names = 'a p div ul ol li table tr td nav pre br img sup script title base main svg h2'
  const piece = fc.oneof(
    fc.constantFrom(
      ...names.split(' ').flatMap((name) => [`<${name}>`, `</${name}>`, `<${name} `]),
    ),
    fc.constantFrom('<a href="/x">', '<a href=//y.example/>', '<img alt="【3†a】">', '<p hidden>'),
    fc.constantFrom(
      '【1†x】',
      '&#x3010;2&dagger;y&#12305;',
      '†',
      '"',
      "'",
      '>',
      '<!--',
      '-->',
      '\n',
      ' ',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  )
  const html = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''))

  it('has no marks but those of its own links, and no line that is too long', () => {
    fc.assert(
      fc.property(html, (source) => {
        const { title, text, links } = htmlToText(source, at)
        expect(title).not.toMatch(/[【】\n]/)
        const marks = [...text.matchAll(/【(\d+)†[^【】†\n]+(?:†[^【】†\n]+)?】/g)]
        expect(text.match(/[【】]/g)?.length ?? 0).toBe(marks.length * 2)
        for (const [, id] of marks) expect(links[Number(id)]).toMatch(/^https?:/)
        const lines = wrapLines(text)
        expect(lines.every((line) => line.length <= 80)).toBe(true)
        expect(lines.join('').replace(/\s/g, '')).toBe(text.replace(/\s/g, ''))
        expect(withoutLinks(lines)).toHaveLength(lines.length)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('references', () => {
  it.each([
    ['&lt;&gt;&amp;&quot;&apos;', `<>&"'`],
    ['&eacute;&ndash;&hellip;&alpha;', 'é–…α'],
    ['&#65;&#x42;&#x1f600;', 'AB😀'],
    ['&#0;&#x110000;&#xdfff;&#99999999999999999999999999999;', '\ufffd\ufffd\ufffd\ufffd'],
    ['&amp &copy 2', '& © 2'],
    ['&ampx &;&#;&#x; & &nosuchname;', '&ampx &;&#;&#x; & &nosuchname;'],
  ])('%s', (raw, text) => {
    expect(decodeEntities(raw)).toBe(text)
  })
})

describe('a page that wants to do harm is read in the time that its length takes', () => {
  // The square of a million is a matter of hours.
  const many = (piece: string, size = 1024 * 1024) => piece.repeat(size / piece.length)
  it.each([
    ['brackets', many('<', 5 * 1024 * 1024)],
    ['nested blocks', many('<div>')],
    ['a hundred thousand nested blocks', `${'<div>'.repeat(100_000)}x`],
    ['attributes that never end', many('<a href="')],
    ['quotes of two kinds', many(`<a b='" `)],
    ['tags within tags', many('<a ')],
    ['links that never end', many('<a href=x>y')],
    ['lists', many('<ul><li>a')],
    ['menus', many('<nav>')],
    ['comments that never end', many('<!--')],
    ['declarations', many('<!')],
    ['end tags', many('</')],
    ['scripts that never end', many('<script>')],
    ['end tags of scripts that are none', `<script>${many('</script')}`],
    ['ampersands', many('&')],
    ['numbers', `&#${many('9')}`],
    ['references', many('&#x1;')],
    ['blanks', `<pre>${many(' ')}x`],
    ['line feeds', `<pre>${many('\n')}x`],
    ['powers', many('<sup>aaaaaaaaaaaaaaaaaaa')],
    ['bases', many('<base href=a/>')],
    ['pictures', many('<img alt=a>')],
    ['one word', many('x')],
  ])('%s', (_, html) => {
    const { text } = htmlToText(html, at)
    expect(text.length).toBeLessThanOrEqual(maxPageText)
    expect(wrapLines(text).every((line) => line.length <= 80)).toBe(true)
  })

  it.each([
    ['brackets', many('[')],
    ['pictures', many('![a](')],
    ['titles', many('[a](b "')],
  ])('%s of Markdown', (_, text) => {
    const bytes = new TextEncoder().encode(text)
    const read = documentText({ url: at, contentType: 'text/markdown', bytes })
    expect(read.text.length).toBeLessThanOrEqual(maxPageText)
  })
})

describe('a document', () => {
  const read = (contentType: string, body: string | number[], url = at) =>
    documentText({
      url,
      contentType,
      bytes: typeof body === 'string' ? new TextEncoder().encode(body) : Uint8Array.from(body),
    })
  const latin = [...'<p>caf'].map((char) => char.charCodeAt(0))

  it.each([
    ['the header', 'text/html; charset="ISO-8859-1"', [...latin, 0xe9], 'café'],
    ['UTF-8 by default', 'text/html', [...latin, 0xc3, 0xa9], 'café'],
    ['what old pages are in', 'text/html', [...latin, 0xe9, 0x20, 0x20], 'café'],
    ['an unknown name', 'text/html; charset=nonsense', [...latin, 0xc3, 0xa9], 'café'],
    ['a byte order mark', 'text/html; charset=latin1', [0xef, 0xbb, 0xbf, 0xc3, 0xa9], 'é'],
    ['UTF-16', 'text/plain', [0xff, 0xfe, 0xe9, 0x00], 'é'],
    ['a cut character', 'text/plain', [0x61, 0xc3], 'a\ufffd'],
  ])('is decoded by %s', (_, contentType, bytes, text) => {
    expect(read(contentType, bytes).text).toBe(text)
  })

  it('is decoded by its meta', () => {
    const head =
      '<html><head><meta name=x><META http-equiv=content-type content="text/html; charset=windows-1251">'
    const bytes = [...head].map((char) => char.charCodeAt(0))
    expect(read('text/html', [...bytes, 0xcf, 0xf0, 0xe8]).text).toBe('При')
    expect(read('text/html', '<meta charset=utf-16><p>é').text).toBe('é')
  })

  it('may be Markdown, with marks for its links', () => {
    const { title, text, links } = read(
      'text/markdown',
      '# [Bees](/b)\n\nSee [the **hive**](https://h.example/ "H"), ![A bee](x.png) and [x](<y>) [z](#a).',
    )
    expect(title).toBe('Bees')
    expect(text).toBe(
      '# 【0†Bees】\n\nSee 【1†the **hive**†h.example】, [Image 0: A bee] and 【2†x】 z.',
    )
    expect(links[2]).toBe('https://bees.example/wiki/y')
  })

  it('may be JSON, which gets lines, plain text, or no more than its source', () => {
    expect(read('application/ld+json', '{"a":[1]}').text).toBe('{\n  "a": [\n    1\n  ]\n}')
    expect(read('application/json', '{"a":').text).toBe('{"a":')
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
    expect(read('application/json', deep).text).toBe(deep)
    expect(read('text/plain', 'a 【1†b】\r\n\r\n\r\nc  \n').text).toBe('a 〖1†b〗\n\nc')
    expect(read('', '<html><p>x').text).toBe('x')
    const bytes = new TextEncoder().encode('<p>a <a href=/x>b</a>')
    expect(documentText({ url: at, contentType: 'text/html', bytes }, true)).toMatchObject({
      text: '<p>a <a href=/x>b</a>',
      links: [],
      title: 'bees.example',
    })
  })

  it.each([
    ['application/pdf', 'x', 'it is a PDF'],
    ['', '%PDF-1.7', 'it is a PDF'],
    ['', 'a\0b', 'no type that has text'],
    ['image/svg+xml', '<svg/>', 'image/svg+xml'],
    ['application/octet-stream', 'x', 'no text to show'],
  ])('of the type %j is refused', (contentType, body, reason) => {
    expect(() => read(contentType, body)).toThrow(DocumentError)
    expect(() => read(contentType, body)).toThrow(reason)
  })
})

describe('lines', () => {
  it('are wrapped at 80 characters, with their white space, and empty ones stay', () => {
    const words = `${'word '.repeat(15)}  and  then some more of it`
    const lines = wrapLines(`${words}\n\n${'x'.repeat(170)}\nend `)
    expect(lines).toEqual([
      `${'word '.repeat(15)}  and`,
      '  then some more of it',
      '',
      'x'.repeat(80),
      'x'.repeat(80),
      'x'.repeat(10),
      'end ',
    ])
    expect(lines.slice(0, 2).join('')).toBe(words)
    expect(wrapLines(`${'x'.repeat(79)}🐝y`)).toEqual(['x'.repeat(79), '🐝y'])
  })

  it.each([
    ['paragraphs', `${'Bees, and their  hives — "all" of it!  '.repeat(40)}\n\n`.repeat(3)],
    ['short lines', 'a bee\n'.repeat(400)],
    ['signs', '  * x\n\t\n//\n###\n =====\n\n'.repeat(60)],
    ['other scripts', `${'é🐝 ж '.repeat(90)}。\n`.repeat(5)],
  ])('of %s fit a window exactly as the whole counts', async (_, text) => {
    const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base')
    const lines = wrapLines(text)
    for (const window of [1, 50, 300, 1024]) {
      const shown = linesThatFit(lines, 3, window, countTokens)
      const counted = (length: number) =>
        countTokens(
          lines
            .slice(3, 3 + length)
            .map((line, index) => numbered(line, 3 + index))
            .join('\n'),
        )
      if (shown > 1) expect(counted(shown)).toBeLessThanOrEqual(window)
      expect(counted(shown + 1)).toBeGreaterThan(window)
    }
    expect(linesThatFit(['a', 'b'], 0, 1024, countTokens)).toBe(2)
  })

  it('lose their links and keep their numbers', () => {
    expect(
      withoutLinks(['see 【3†the', 'bee†x.', 'example】 and', '【4†honey】 〖5†no〗']),
    ).toEqual(['see the', 'bee', ' and', 'honey 〖5†no〗'])
  })

  it('are found by the snippet of a search engine', () => {
    const lines = ['# Bees', '', 'A forager that has', '【0†found】 food dances in the Hive.', 'x']
    expect(lineOfSnippet(lines, 'A forager that has found food … dances')).toBe(2)
    expect(
      lineOfSnippet(lines, 'something else entirely, yes ... Found food, dances in the hive'),
    ).toBe(3)
    expect(lineOfSnippet(lines, 'nothing of the kind is here')).toBeUndefined()
    expect(lineOfSnippet(lines, 'short')).toBeUndefined()
  })
})
