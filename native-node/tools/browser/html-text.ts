// A page's HTML as text: what a reader sees, in its order, without scripts, styles, menus and what is hidden.
import { decodeEntities } from './html-entities.ts'
import { readTags, type TagHandler } from './html-tokens.ts'
import { cleanTitle, Links, type PageText, tidyLines } from './page-text.ts'
import { TextBuilder } from './text-builder.ts'

const words = (list: string) => new Set(list.split(' '))
/** Not text at all. */
const dropped = words(
  'svg math canvas audio video object template select datalist button noscript map dialog',
)
/** Text, but not of the page's matter; kept where the page has nothing else. */
const noise = words('nav')
const voidElements = words(
  'area base br col embed hr img input link meta param source track wbr frame',
)
/** What begins one of these ends a menu that was never closed. */
const matter = words('main article body html')
/** Their end tags may be missing, so that nobody can tell where a hidden one ends. */
const openEnded = words('p li dt dd tr td th option thead tbody tfoot')
const blocks = words(
  'p div section article main header footer aside figure figcaption blockquote table form fieldset address details summary dl pre ul ol h1 h2 h3 h4 h5 h6 center hgroup body caption',
)
const lines = words('dt dd tr li option legend thead tbody tfoot')
const loud = words('ul ol p blockquote table pre h1 h2 h3 h4 h5 h6 dl figure')
/** Deeper lists are indented no further. */
const maxDepth = 8
/** Less text than this speaks for a page that consists of menus. */
const littleText = 200

/** Reads a page. `url` is where it came from, for its relative links. */
export function htmlToText(html: string, url: string): PageText {
  const page = read(html, url, true)
  if (page.text.length >= littleText) return page
  const whole = read(html, url, false)
  return whole.text.length > page.text.length * 2 ? whole : page
}

function read(html: string, url: string, withoutNoise: boolean): PageText {
  const links = new Links(url)
  const reader = new Reader(links, withoutNoise, html)
  readTags(html, reader)
  const { text, isCut } = tidyLines(reader.builder.end())
  return { title: reader.title, text, links: links.urls, isCut: isCut || reader.builder.isFull }
}

class Reader implements TagHandler {
  readonly builder: TextBuilder
  title = ''
  readonly #links: Links
  readonly #withoutNoise: boolean
  readonly #html: string
  /** The element that is left out, and how many of its name are open within. */
  #skipped: string | undefined
  #skippedDepth = 0
  #skipsNoise = false
  #pre = 0
  /** One entry a list that is open: the next number, 0 for bullets. */
  #lists: number[] = []
  /** Cells so far in the row. */
  #cells = 0
  /** A brace of `^{2}` is open. */
  #brace = false

  constructor(links: Links, withoutNoise: boolean, html: string) {
    this.#links = links
    this.#withoutNoise = withoutNoise
    this.#html = html
    this.builder = new TextBuilder(links)
  }

  text(raw: string): boolean {
    if (this.#skipped === undefined) {
      const text = decodeEntities(raw)
      if (this.#pre > 0) this.builder.preformatted(text)
      else this.builder.inline(text)
    }
    return !this.builder.isFull
  }

  raw(name: string, content: string): void {
    if (this.#skipped !== undefined) return
    if (name === 'title' && this.title === '') this.title = cleanTitle(decodeEntities(content))
    if (name === 'xmp') this.builder.preformatted(content)
  }

  open(name: string, attributes: ReadonlyMap<string, string>, end: number): void {
    if (this.#skips(name, attributes)) return
    const value = (key: string) => decodeEntities(attributes.get(key) ?? '', true)
    switch (name) {
      case 'base':
        this.#links.rebase(value('href'))
        break
      case 'a':
        if (attributes.has('href')) this.builder.openLink(value('href').trim())
        break
      case 'img':
        this.builder.image(value('alt') || value('title'))
        break
      case 'br':
        if (this.#pre > 0) this.builder.preformatted('\n')
        else this.builder.line()
        break
      case 'hr':
        this.builder.block()
        this.builder.inline('---')
        this.builder.block()
        break
      case 'sup':
      case 'sub':
        this.#script(name, end)
        break
      default:
        this.#openBlock(name, attributes)
    }
  }

  close(name: string): void {
    if (this.#skipped !== undefined) {
      if (name === this.#skipped && --this.#skippedDepth === 0) this.#skipped = undefined
      else if (this.#skipsNoise && matter.has(name)) this.#skipped = undefined
      return
    }
    if (name === 'a') this.builder.closeLink()
    else if (this.#brace && (name === 'sup' || name === 'sub')) {
      this.builder.inline('}')
      this.#brace = false
    } else if (name === 'pre' && this.#pre > 0) this.#pre--
    else if (name === 'ul' || name === 'ol') this.#lists.pop()
    if (loud.has(name) && this.#lists.length === 0) this.builder.block()
    else if (blocks.has(name) || lines.has(name)) this.builder.line()
  }

  /** True where the element, and what is within, is left out. */
  #skips(name: string, attributes: ReadonlyMap<string, string>): boolean {
    if (this.#skipped !== undefined) {
      if (this.#skipsNoise ? matter.has(name) : name === 'body') {
        this.#skipped = undefined
        return false
      }
      if (name === this.#skipped) this.#skippedDepth++
      return true
    }
    const isNoise =
      this.#withoutNoise &&
      (noise.has(name) || isHidden(attributes) || attributes.get('role') === 'navigation')
    if (!(isNoise || dropped.has(name))) return false
    // None of these has an end tag for sure that would end the leaving out.
    if (voidElements.has(name) || matter.has(name) || openEnded.has(name)) return false
    this.#skipped = name
    this.#skippedDepth = 1
    this.#skipsNoise = isNoise
    return true
  }

  #openBlock(name: string, attributes: ReadonlyMap<string, string>): void {
    const { builder } = this
    if (name === 'td' || name === 'th') {
      builder.cell(this.#cells++ === 0)
    } else if (name === 'li') {
      builder.item(this.#bullet())
    } else if (/^h[1-6]$/.test(name)) {
      builder.block()
      builder.item(`${'#'.repeat(Number(name[1]))} `)
    } else if (loud.has(name) && this.#lists.length === 0) {
      builder.block()
    } else if (blocks.has(name) || lines.has(name)) {
      builder.line()
    }
    if (name === 'tr') {
      this.#cells = 0
      builder.row()
    }
    if (name === 'pre') this.#pre++
    if (name === 'ul') this.#lists.push(0)
    if (name === 'ol') this.#lists.push(Math.trunc(Number(attributes.get('start') ?? 1)) || 1)
  }

  #bullet(): string {
    const depth = Math.max(1, this.#lists.length)
    const number = this.#lists.at(-1) ?? 0
    if (number !== 0) this.#lists[this.#lists.length - 1] = number + 1
    return `${'  '.repeat(Math.min(depth, maxDepth))}${number === 0 ? '*' : `${number}.`} `
  }

  /** `x<sup>2</sup>` is no `x2`. What is more than a word stays text. */
  #script(name: 'sup' | 'sub', end: number): void {
    const word = /[\w-]{1,20}<\/su[bp]>/y
    word.lastIndex = end
    if (!word.test(this.#html)) return
    this.#brace = true
    this.builder.inline(name === 'sup' ? '^{' : '_{')
  }
}

function isHidden(attributes: ReadonlyMap<string, string>): boolean {
  if (attributes.size === 0) return false
  return (
    attributes.has('hidden') ||
    attributes.get('aria-hidden') === 'true' ||
    /display\s{0,8}:\s{0,8}none/i.test(attributes.get('style') ?? '')
  )
}
