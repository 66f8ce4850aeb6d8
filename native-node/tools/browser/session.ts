// One conversation's browser: a stack of displays, each with the cursor that cites it, and what the model does with it. Every
// display is a new cursor, a scroll too. Texts and rules are those that gpt-oss was trained on.
import type { HostedSource, WebSearchSettings } from '../../../src/tools/hosted.ts'
import { isInDomains } from '../../../src/tools/web-search-items.ts'
import type { SearchHit } from './backends/backend.ts'
import { type CountTokens, linesThatFit, numbered, withoutLinks } from './lines.ts'
import { findPage, type Page, pageFrom, pageOfMarkdown, searchPage, targetLine } from './pages.ts'

/** The world as a session sees it. */
export interface BrowserWorld {
  /** Throws SearchError. */
  search(
    query: string,
    topn: number,
    settings: WebSearchSettings,
    signal: AbortSignal,
  ): Promise<SearchHit[]>
  /** Throws DocumentError. */
  fetch(
    url: string,
    source: boolean,
    settings: WebSearchSettings,
    signal: AbortSignal,
  ): Promise<Page>
  count: CountTokens
  now(): number
}

export interface Display {
  text: string
  sources: HostedSource[]
}

/** What the model did wrong, or the world; the message is for the model. */
export class BrowserError extends Error {}

export interface OpenArguments {
  id: number | string | undefined
  cursor: number | undefined
  loc: number | undefined
  numLines: number | undefined
  viewSource: boolean
}

/** Displays that are kept; older cursors are cited still, but no longer opened. */
const maxDisplays = 64
/** Characters of text that a session keeps. */
const maxKept = 4 * 1024 * 1024
/** A page that was read longer ago is fetched anew. */
const freshMs = 15 * 60_000
/** However many lines the model asks for. */
const maxLines = 1000
const windows = { low: 512, medium: 1024, high: 2048 } as const
const maxUrlShown = 1024

export class BrowserSession {
  readonly #world: BrowserWorld
  #displays: Page[] = []
  /** Cursor of the first display that is kept. */
  #first = 0

  constructor(world: BrowserWorld) {
    this.#world = world
  }

  async search(
    query: string,
    topn: number,
    settings: WebSearchSettings,
    signal: AbortSignal,
  ): Promise<Display> {
    const hits = await this.#world.search(query, topn, settings, signal)
    const allowed = hits.filter(({ url }) => isInDomains(url, settings.allowedDomains))
    const page = searchPage(query, allowed.slice(0, topn), this.#world.now())
    return this.#show(page, 0, undefined, settings)
  }

  async open(
    { id, cursor, loc, numLines, viewSource }: OpenArguments,
    settings: WebSearchSettings,
    signal: AbortSignal,
  ): Promise<Display> {
    const show = (page: Page, line: number) =>
      this.#show(page, loc !== undefined && loc >= 0 ? loc : line, numLines, settings)
    if (typeof id === 'string') {
      // Told by URL, a page is fetched anew.
      return show(await this.#fetch(id, viewSource, settings, signal), 0)
    }
    const current = this.#at(cursor)
    if (id === undefined || id < 0) {
      if (!viewSource) return show(current, 0)
      if (current.url === '') throw new BrowserError('A page of results has no source to view.')
      return show(await this.#fetch(current.url, true, settings, signal), 0)
    }
    const url = current.links[id]
    if (url === undefined) throw new BrowserError(`Invalid link id \`${id}\`.`)
    if (viewSource) return show(await this.#fetch(url, true, settings, signal), 0)
    const page = await this.#pageOf(url, current, settings, signal)
    return show(page, targetLine(current, id, page))
  }

  find(pattern: string, cursor: number | undefined, settings: WebSearchSettings): Display {
    const page = this.#at(cursor)
    if (page.kind === 'search' || page.kind === 'find') {
      throw new BrowserError('Cannot run `find` on a page of search results or of `find` results.')
    }
    const found = findPage(page, pattern, withoutLinks(page.lines), this.#world.now())
    return this.#show(found, 0, undefined, settings)
  }

  /** The page behind a link: one that was read a moment ago, what the search engine gave, or fetched. */
  async #pageOf(
    url: string,
    from: Page,
    settings: WebSearchSettings,
    signal: AbortSignal,
  ): Promise<Page> {
    const now = this.#world.now()
    const known = this.#displays.findLast((page) => page.kind === 'page' && page.url === url)
    if (known !== undefined && now - known.readAt < freshMs) return known
    const given = from.hits?.find((hit) => hit.url === url)?.text
    return given === undefined
      ? this.#fetch(url, false, settings, signal)
      : pageOfMarkdown(url, given, now)
  }

  async #fetch(
    asked: string,
    viewSource: boolean,
    settings: WebSearchSettings,
    signal: AbortSignal,
  ): Promise<Page> {
    const isSource = viewSource || asked.startsWith('view-source:')
    const url = pageUrl(asked.replace(/^view-source:/, '').trim())
    if (!isInDomains(url, settings.allowedDomains)) {
      throw fetchError(url, 'its domain is not one that the request allows')
    }
    try {
      return await this.#world.fetch(url, isSource, settings, signal)
    } catch (thrown) {
      signal.throwIfAborted()
      throw fetchError(url, thrown instanceof Error ? thrown.message : 'it could not be fetched')
    }
  }

  #at(cursor: number | undefined): Page {
    const last = this.#first + this.#displays.length - 1
    if (last < 0) throw new BrowserError('No pages to access!')
    if (cursor === undefined || cursor < 0) return this.#displays.at(-1) ?? pageFrom('', 0)
    const page = this.#displays[cursor - this.#first]
    if (page !== undefined) return page
    const range = `Available cursor indices: [${this.#first} - ${last}].`
    throw new BrowserError(`Cursor \`${cursor}\` is out of range. ${range}`)
  }

  /** Shows a page from a line on, under a new cursor. A fault leaves no cursor behind. */
  #show(
    page: Page,
    loc: number,
    numLines: number | undefined,
    settings: WebSearchSettings,
  ): Display {
    if (page.url !== '' && !isInDomains(page.url, settings.allowedDomains)) {
      throw new BrowserError('The domain of this page is not one that the request allows.')
    }
    const total = page.lines.length
    if (loc >= total) {
      throw new BrowserError(
        `Invalid location parameter: \`${loc}\`. Cannot exceed page maximum of ${total - 1}.`,
      )
    }
    const window = windows[settings.contextSize ?? 'medium']
    const wanted =
      numLines === undefined || numLines <= 0
        ? linesThatFit(page.lines, loc, window, this.#world.count)
        : Math.min(numLines, maxLines)
    const end = Math.min(loc + wanted, total)
    const cursor = this.#push(page)
    const head = `[${cursor}] ${page.title}${page.url === '' ? '' : ` (${shownUrl(page.url)})`}`
    const view = `**viewing lines [${loc} - ${end - 1}] of ${total - 1}**`
    const body = page.lines.slice(loc, end).map((line, index) => numbered(line, loc + index))
    return { text: `${head}\n${view}\n\n${body.join('\n')}`, sources: sourcesOf(page, cursor) }
  }

  #push(page: Page): number {
    this.#displays.push(page)
    while (this.#displays.length > 1 && this.#isOver()) {
      this.#displays.shift()
      this.#first++
    }
    return this.#first + this.#displays.length - 1
  }

  #isOver(): boolean {
    if (this.#displays.length > maxDisplays) return true
    let kept = 0
    for (const page of new Set(this.#displays)) kept += page.size
    return kept > maxKept
  }
}

function sourcesOf(page: Page, cursor: number): HostedSource[] {
  if (page.kind !== 'search') return [{ cursor, url: page.url, title: page.sourceTitle }]
  return (page.hits ?? []).map(({ url, title, lines }) => ({ cursor, url, title, lines }))
}

/** Models leave the scheme out. */
function pageUrl(asked: string): string {
  const isBare = /^[\w-]+(?:\.[\w-]+)+(?:[/?#]|$)/.test(asked)
  return isBare ? `https://${asked}` : asked
}

function fetchError(url: string, reason: string): BrowserError {
  return new BrowserError(`Error fetching URL \`${cut(url)}\`: ${reason}.`)
}

function cut(text: string): string {
  return text.length > maxUrlShown ? `${text.slice(0, maxUrlShown - 3)}...` : text
}

/** As a reader writes it: without percent signs, where it can be decoded. */
function shownUrl(url: string): string {
  let shown = url
  try {
    shown = decodeURIComponent(url)
  } catch {
    // It stays as it is.
  }
  return cut(shown.replace(/[\s【】]/g, ' '))
}
