// Citations in a streamed text. A model that browses cites as it was trained to, `【3†L7-L9】`: the third page, its lines. Clients
// of OpenAI know links with a url_citation annotation instead. Pure; one rewriter a content part.
import type { HostedSource } from './hosted.ts'

export interface UrlCitation {
  type: 'url_citation'
  /**
   * Of the link without the blanks around it, in code points, the end exclusive. OpenAI counts as Python does, whose clients
   * slice `text[start_index:end_index]`; a JavaScript client slices the same wherever the text has no emoji before it.
   */
  start_index: number
  end_index: number
  url: string
  title: string
}

export interface CitationSource {
  url: string
  title: string
}

export interface Rewritten {
  text: string
  annotations: UrlCitation[]
}

/** The page behind a cursor; `lines` are the first and last that are cited, where the citation names them. */
export type FindSource = (
  cursor: number,
  lines?: readonly [first: number, last: number],
) => CitationSource | undefined

/** A citation is short. What is open for longer is text: the stream must not wait for a bracket that never comes. */
const maxCitation = 100

const citation = /^【(\d{1,9})†([^†【】\n]+)(?:†[^【】\n]*)?】$/
const beginning = /^【(?:\d{0,9}|\d{1,9}†[^†【】\n]*(?:†[^【】\n]*)?)$/

/** Turns citations into links as the text comes. The sum of all parts is the same however the text was cut. */
export class CitationRewriter {
  #find: FindSource
  /** From `【` on, while it may still become a citation. */
  #held = ''
  /** The first half of a surrogate pair whose second half has not come. */
  #half = ''
  /** Code points given out so far, a half in waiting included. */
  #length = 0
  #endsHigh = false

  constructor(sources: FindSource) {
    this.#find = sources
  }

  /** What of the text can be told now. */
  push(delta: string): Rewritten {
    const out: Rewritten = { text: this.#half, annotations: [] }
    this.#half = ''
    for (let at = 0; at < delta.length; ) {
      if (this.#held === '') {
        const open = delta.indexOf('【', at)
        this.#tell(delta.slice(at, open < 0 ? undefined : open), out)
        if (open < 0) break
        this.#held = '【'
        at = open + 1
      } else {
        this.#hold(delta[at] ?? '', out)
        at++
      }
    }
    if (endsWithHigh(out.text)) {
      this.#half = out.text.slice(-1)
      out.text = out.text.slice(0, -1)
    }
    return out
  }

  /** The rest, where the text ended within what could have become a citation. */
  end(): Rewritten {
    const out: Rewritten = { text: this.#half, annotations: [] }
    this.#half = ''
    this.#tell(this.#held, out)
    this.#held = ''
    return out
  }

  #hold(unit: string, out: Rewritten): void {
    const held = this.#held + unit
    if (held.length <= maxCitation && citation.test(held)) {
      this.#held = ''
      this.#cite(held, out)
    } else if (held.length < maxCitation && beginning.test(held)) {
      this.#held = held
    } else if (unit === '【') {
      // Another one begins; the first was none.
      this.#tell(this.#held, out)
      this.#held = unit
    } else {
      this.#held = ''
      this.#tell(held, out)
    }
  }

  #cite(text: string, out: Rewritten): void {
    const [, cursor = '', lines = ''] = citation.exec(text) ?? []
    const [, first, last = first] = /^L(\d{1,9})(?:-L?(\d{1,9}))?(?!\d)/.exec(lines) ?? []
    const cited = first === undefined ? undefined : ([Number(first), Number(last)] as const)
    const source = this.#find(Number(cursor), cited)
    const domain = source === undefined ? undefined : domainOf(source.url)
    if (source === undefined || domain === undefined) {
      this.#tell(text, out)
      return
    }
    this.#tell(' ', out)
    const start = this.#length
    this.#tell(`([${domain}](${linkable(source.url)}))`, out)
    out.annotations.push({
      type: 'url_citation',
      start_index: start,
      end_index: this.#length,
      url: source.url,
      title: source.title === '' ? domain : source.title,
    })
    this.#tell(' ', out)
  }

  #tell(text: string, out: Rewritten): void {
    if (text === '') return
    out.text += text
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      const isLow = unit >= 0xdc00 && unit <= 0xdfff
      if (!(isLow && this.#endsHigh)) this.#length++
      this.#endsHigh = unit >= 0xd800 && unit <= 0xdbff
    }
  }
}

/** The pages that the results of a conversation have shown, by the cursors that cite them. */
export class CitationSources {
  #byCursor = new Map<number, HostedSource[]>()

  /** Adds the sources of one result. A cursor that is told anew stands for the newer page: a new session counts from 0 again. */
  add(sources: readonly HostedSource[]): void {
    for (const { cursor } of sources) this.#byCursor.delete(cursor)
    for (const source of sources) {
      const list = this.#byCursor.get(source.cursor)
      if (list === undefined) this.#byCursor.set(source.cursor, [source])
      else list.push(source)
    }
  }

  /** The page behind a cursor; on a page of results, the first one among the lines that are cited. */
  readonly find: FindSource = (cursor, cited) => {
    const sources = this.#byCursor.get(cursor) ?? []
    const [only] = sources
    if (sources.length === 1 && only?.lines === undefined) return only
    if (cited === undefined) return undefined
    const [first, last] = cited
    return sources.find(({ lines }) => lines && lines[0] <= last && lines[1] >= first)
  }
}

function endsWithHigh(text: string): boolean {
  const unit = text.charCodeAt(text.length - 1)
  return unit >= 0xd800 && unit <= 0xdbff
}

function domainOf(url: string): string | undefined {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined
  return new URL(url).hostname.replace(/^www\./, '')
}

/** Markdown would end the link at a bracket or a blank. */
function linkable(url: string): string {
  return url.replace(/[()<>\s]/g, (char) =>
    char === '(' ? '%28' : char === ')' ? '%29' : encodeURIComponent(char),
  )
}
