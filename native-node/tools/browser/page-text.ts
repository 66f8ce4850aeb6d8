// The text of a page as gpt-oss was trained to read it: links are `【id†text】`, with the domain where it is another one;
// ids count from 0 and are shared by links to the same URL. Brackets of the page itself become 〖〗, so that none is mistaken.

/** What a page is to the browser, before it is cut into lines. */
export interface PageText {
  title: string
  text: string
  /** URL of each link, by its id. */
  links: string[]
  /** The page was longer than this software keeps. */
  isCut: boolean
}

/** Characters of text that are kept of a page: about 7,000 lines. */
export const maxPageText = 512 * 1024
const maxLinks = 5000
const maxLinkUrl = 2048
const maxTitle = 300

/** Text of a page without what would be read as a mark, steers a terminal, or hides text. */
export function cleanText(text: string): string {
  return text
    .replaceAll('【', '〖')
    .replaceAll('】', '〗')
    .replace(/\r\n?/g, '\n')
    .replace(unseen, '')
}

/** Control characters but tab and line feed; soft hyphen, zero width space, marks of writing direction, byte order mark. */
const unseen = /(?![\t\n])[\p{Cc}\u00ad\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** One line, short enough for a heading. */
export function cleanTitle(text: string, max = maxTitle): string {
  const line = cleanText(text).replaceAll('†', '‡').replace(/\s+/g, ' ').trim()
  return line.length > max ? `${wholeCharacters(line.slice(0, max - 1))}…` : line
}

/** Without half a character at the end. */
export function wholeCharacters(text: string): string {
  return /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text
}

/** The links of one page. */
export class Links {
  readonly urls: string[] = []
  #ids = new Map<string, number>()
  #base: URL | undefined
  #ownHost: string
  #isRebased = false

  /** `url` is the page's own; empty for what is no page. */
  constructor(url: string) {
    this.#base = URL.canParse(url) ? new URL(url) : undefined
    this.#ownHost = this.#base?.host ?? ''
  }

  /** `<base href>`: where relative links start from. The first one counts. */
  rebase(href: string): void {
    if (this.#isRebased) return
    this.#isRebased = true
    if (URL.canParse(href, this.#base?.href)) this.#base = new URL(href, this.#base)
  }

  /** The mark of a link; the text alone where it leads nowhere that this browser goes. */
  mark(href: string, text: string): string {
    const shown = text.replaceAll('†', '‡').replace(/\s+/g, ' ').trim()
    if (shown === '' || href.startsWith('#') || href.length > maxLinkUrl) return shown
    const url = this.#resolve(href)
    if (url === undefined) return shown
    let id = this.#ids.get(url.href)
    if (id === undefined) {
      if (this.urls.length >= maxLinks) return shown
      id = this.urls.push(url.href) - 1
      this.#ids.set(url.href, id)
    }
    return url.host === this.#ownHost ? `【${id}†${shown}】` : `【${id}†${shown}†${url.host}】`
  }

  #resolve(href: string): URL | undefined {
    if (!URL.canParse(href, this.#base?.href)) return undefined
    const url = new URL(href, this.#base)
    return /^https?:$/.test(url.protocol) ? url : undefined
  }
}

/** Collapses blank lines, and cuts what is too long, at a line. */
export function tidyLines(text: string): { text: string; isCut: boolean } {
  // Line by line: an expression for blanks before a line's end takes the square of a run that does not end one.
  const trimmed = text.split('\n').map((line) => line.trimEnd())
  const tidy = trimmed
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .replace(/^\n+|\n+$/g, '')
  if (tidy.length <= maxPageText) return { text: tidy, isCut: false }
  const end = tidy.lastIndexOf('\n', maxPageText)
  const cut = tidy.slice(0, end > maxPageText / 2 ? end : maxPageText)
  return { text: wholeCharacters(cut), isCut: true }
}
