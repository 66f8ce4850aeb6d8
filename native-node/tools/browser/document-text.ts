// What a server sent, as text: its charset, and the kinds of documents that can be shown.
import { htmlToText } from './html-text.ts'
import { cleanText, cleanTitle, Links, maxPageText, type PageText, tidyLines } from './page-text.ts'

export interface Document {
  url: string
  /** The content-type header; empty where there is none. */
  contentType: string
  bytes: Uint8Array
}

/** Says why a document cannot be shown; the text goes to the model. */
export class DocumentError extends Error {}

type Kind = 'html' | 'markdown' | 'json' | 'plain'

/** The document as text. Throws DocumentError for what is none. `source`: as it came, markup and all. */
export function documentText(document: Document, source = false): PageText {
  const { url, contentType, bytes } = document
  const kind = kindOf(contentType, bytes)
  const text = decode(bytes, contentType, kind === 'html')
  const page = source ? plainText(text) : render(kind, text, url)
  return { ...page, title: page.title === '' ? titleFrom(url) : page.title }
}

function render(kind: Kind, text: string, url: string): PageText {
  switch (kind) {
    case 'html':
      return htmlToText(text, url)
    case 'markdown':
      return markdownText(text, url)
    case 'json':
      return plainText(indented(text))
    case 'plain':
      return plainText(text)
  }
}

/** Before the body is read: whether it can be shown at all. Throws DocumentError. */
export function kindOf(contentType: string, bytes?: Uint8Array): Kind {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === 'text/html' || type === 'application/xhtml+xml') return 'html'
  if (/^text\/(?:x-)?markdown$/.test(type)) return 'markdown'
  if (/^(?:application|text)\/(?:[\w.+-]+\+)?json$/.test(type)) return 'json'
  const isXml = /^application\/(?:[\w.+-]+\+)?xml$/.test(type)
  if (type.startsWith('text/') || isXml || type === 'application/javascript') return 'plain'
  if (type === '') return bytes === undefined ? 'plain' : sniff(bytes)
  if (type === 'application/pdf') {
    throw new DocumentError('it is a PDF, and this browser shows text only')
  }
  throw new DocumentError(`it is of the type ${type.slice(0, 100)}, which has no text to show`)
}

function sniff(bytes: Uint8Array): Kind {
  const start = bytes.subarray(0, 1024)
  if (start.includes(0)) throw new DocumentError('it is of no type that has text to show')
  const text = new TextDecoder('latin1').decode(start).trimStart()
  if (text.startsWith('%PDF-')) throw new DocumentError('it is a PDF')
  return /^<(?:!doctype|html|head|body|!--)/i.test(text) ? 'html' : 'plain'
}

/** By byte order mark, header, `<meta>`; else UTF-8 where it is that, else what old pages are in. */
function decode(bytes: Uint8Array, contentType: string, isHtml: boolean): string {
  const told =
    markOf(bytes) ??
    charsetIn(contentType) ??
    (isHtml ? metaCharset(bytes.subarray(0, 4096)) : undefined)
  if (told !== undefined) {
    const decoder = decoderFor(told)
    if (decoder !== undefined) return decoder.decode(bytes)
  }
  const text = new TextDecoder().decode(bytes)
  return text.includes('\ufffd') && !isCutUtf8(text)
    ? new TextDecoder('latin1').decode(bytes)
    : text
}

/** The one fault is at the end, where the body was cut. */
function isCutUtf8(text: string): boolean {
  return text.indexOf('\ufffd') >= text.length - 1
}

function markOf([a, b, c]: Uint8Array): string | undefined {
  if (a === 0xef && b === 0xbb && c === 0xbf) return 'utf-8'
  if (a === 0xfe && b === 0xff) return 'utf-16be'
  return a === 0xff && b === 0xfe ? 'utf-16le' : undefined
}

function charsetIn(text: string): string | undefined {
  return /charset\s{0,8}=\s{0,8}["']?([\w.:-]{1,40})/i.exec(text)?.[1]
}

function metaCharset(start: Uint8Array): string | undefined {
  const head = new TextDecoder('latin1').decode(start)
  for (const [tag] of head.matchAll(/<meta\s[^>]{0,400}>/gi)) {
    const charset = charsetIn(tag)
    // Its own letters could be read, so that it cannot be UTF-16.
    if (charset !== undefined) return /^utf-?16/i.test(charset) ? 'utf-8' : charset
  }
  return undefined
}

function decoderFor(label: string): TextDecoder | undefined {
  try {
    return new TextDecoder(label)
  } catch {
    return undefined
  }
}

/** More than can be kept is not worked on; blank lines may yet go. */
const maxRead = 2 * maxPageText

function plainText(text: string): PageText {
  const { isCut, ...tidy } = tidyLines(cleanText(text.slice(0, maxRead)))
  return { title: '', links: [], ...tidy, isCut: isCut || text.length > maxRead }
}

/** Links and pictures as in HTML; the rest of Markdown reads well as it is. */
export function markdownText(text: string, url: string): PageText {
  const links = new Links(url)
  let images = 0
  const marked = cleanText(text.slice(0, maxRead)).replace(
    // Bounded in each part, and no part may hold what begins another: linear.
    /(!?)\[([^[\]]{0,400})\]\(<?([^\s()<>]{1,2048})>?(?:\s{1,3}"[^"\n]{0,300}")?\)/g,
    (_, bang: string, words: string, href: string) => {
      const name = words.replace(/\s+/g, ' ').trim()
      if (bang === '') return links.mark(href, name)
      return name === '' ? '' : `[Image ${images++}: ${name}]`
    },
  )
  const title = /^#\s{1,8}(\S[^\n]{0,300})/m.exec(marked.slice(0, 4096))?.[1] ?? ''
  return {
    title: cleanTitle(title.replace(/【\d+†|†[^】]*】|】/g, '')),
    links: links.urls,
    ...tidyLines(marked),
  }
}

/** JSON that is one long line is hard to cite. */
function indented(text: string): string {
  // Each level is indented further: a deep one would take the square of its length.
  if (depthOf(text) > 64) return text
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 91 || code === 123) deepest = Math.max(deepest, ++depth)
    else if (code === 93 || code === 125) depth--
  }
  return deepest
}

function titleFrom(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : ''
}
