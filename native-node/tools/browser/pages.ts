// The pages of a session: what was fetched, lists of search results, and what `find` found.
import type { SearchHit } from './backends/backend.ts'
import { markdownText } from './document-text.ts'
import { lineOfSnippet, wrapLines } from './lines.ts'
import { cleanText, cleanTitle, Links, type PageText } from './page-text.ts'

export interface Page {
  /** `source`: a page's markup, not to be taken for the page. */
  kind: 'page' | 'source' | 'search' | 'find'
  /** Empty for search results. */
  url: string
  /** As the display's first line has it. */
  title: string
  /** Of the page that is cited by this display. */
  sourceTitle: string
  lines: string[]
  /** URL of each link, by its id. */
  links: string[]
  /** Milliseconds of the clock when the page was read. */
  readAt: number
  /** Characters, for the bound of the session. */
  size: number
  /** Search results, each with its lines; the link id of a hit is its index. */
  hits?: ShownHit[]
  /** `find` results: the line of each match, by link id. */
  matches?: number[]
}

export interface ShownHit extends SearchHit {
  lines: [first: number, last: number]
}

const maxMatches = 50
const linesOfMatch = 4
const maxHitTitle = 200
const maxSnippet = 600
const cutNote = '\n\n[The page goes on; the rest was too long to keep.]'

function page(
  fields: Pick<Page, 'kind' | 'url' | 'title' | 'lines' | 'links' | 'readAt'> & Partial<Page>,
): Page {
  const linkSize = fields.links.reduce((sum, url) => sum + url.length, 0)
  const hitSize = fields.hits?.reduce((sum, { text = '' }) => sum + text.length, 0) ?? 0
  const size = fields.lines.reduce((sum, line) => sum + line.length + 16, linkSize + hitSize)
  return { sourceTitle: fields.title, size, ...fields }
}

/** A document that was read. */
export function pageFrom(url: string, readAt: number, text?: PageText): Page {
  const body = text?.text === '' || text === undefined ? '(This page has no text.)' : text.text
  return page({
    kind: 'page',
    url,
    title: text?.title ?? '',
    lines: wrapLines(text?.isCut ? body + cutNote : body),
    links: text?.links ?? [],
    readAt,
  })
}

/** A page that a search engine gave as Markdown. */
export function pageOfMarkdown(url: string, markdown: string, readAt: number): Page {
  const text = markdownText(markdown, url)
  const title = text.title === '' && URL.canParse(url) ? new URL(url).hostname : text.title
  return pageFrom(url, readAt, { ...text, title })
}

/** The hits of a search, as links with their snippets. What is no web address is left out. */
export function searchPage(query: string, hits: readonly SearchHit[], readAt: number): Page {
  const links = new Links('')
  const shown: ShownHit[] = []
  const lines = ['# Search Results', '']
  for (const hit of hits) {
    const title = cleanTitle(hit.title, maxHitTitle) || hit.url
    const mark = links.mark(hit.url, title)
    // The same page again, or none: a hit is known by the id of its link.
    if (links.urls.length === shown.length) continue
    const first = lines.length
    const snippet = cleanTitle(hit.snippet, maxSnippet)
    lines.push(...wrapLines(`  * ${mark} ${snippet}`.trimEnd()))
    const url = links.urls.at(-1) ?? hit.url
    shown.push({ ...hit, url, title, lines: [first, lines.length - 1] })
  }
  if (shown.length === 0) lines.push('(Nothing was found.)')
  return page({
    kind: 'search',
    url: '',
    title: cleanTitle(query),
    lines,
    links: links.urls,
    readAt,
    hits: shown,
  })
}

/** The matches of a pattern in a page, whatever their case, each with the lines that follow. */
export function findPage(
  source: Page,
  pattern: string,
  lines: readonly string[],
  readAt: number,
): Page {
  const wanted = pattern.toLowerCase()
  const matches: number[] = []
  const chunks: string[] = []
  for (let at = 0; at < lines.length && matches.length < maxMatches; at++) {
    if (!lines[at]?.toLowerCase().includes(wanted)) continue
    const excerpt = lines.slice(at, at + linesOfMatch).join('\n')
    chunks.push(`# 【${matches.length}†match at L${at}】\n${excerpt}`)
    matches.push(at)
    at += linesOfMatch - 1
  }
  const shown = cleanText(pattern)
  const text =
    chunks.length > 0 ? chunks.join('\n\n') : `No \`find\` results for pattern: \`${shown}\``
  return page({
    kind: 'find',
    url: source.url,
    title: `Find results for text: \`${cleanTitle(pattern)}\` in \`${source.title}\``,
    sourceTitle: source.sourceTitle,
    lines: wrapLines(text),
    links: matches.map(() => source.url),
    readAt,
    matches,
  })
}

/** Where a link of a page of results leads to within the page behind it: a little above the match, or the snippet. */
export function targetLine(from: Page, id: number, to: Page): number {
  const hit = from.hits?.[id]
  const line =
    from.matches?.[id] ?? (hit === undefined ? undefined : lineOfSnippet(to.lines, hit.snippet))
  if (line === undefined) return 0
  // The page may have changed since.
  return Math.max(0, Math.min(line, to.lines.length - 1) - linesOfMatch)
}
