// HTML as a stream of tags and text. No tree: what is nested a hundred thousand deep costs what it is long, and every
// character is looked at once. Where a page is broken it is read as a browser's tokenizer would read it.
// https://html.spec.whatwg.org/multipage/parsing.html#tokenization

export interface TagHandler {
  /** Text between tags, its references not yet decoded. False ends the reading. */
  text(raw: string): boolean
  /** A start tag; attributes by lower-case name, values not yet decoded. `end` is where it ended in the input. */
  open(name: string, attributes: ReadonlyMap<string, string>, end: number): void
  close(name: string): void
  /** What stood in an element whose content is no markup: script, style, title, textarea… */
  raw(name: string, content: string): void
}

/** Their content ends at their own end tag alone. */
const rawElements = new Set('script style title textarea iframe noembed noframes xmp'.split(' '))
/** No page needs more; a tag of a megabyte shall not cost its weight in objects. */
const maxAttributes = 64
const maxValue = 8192

const none: ReadonlyMap<string, string> = new Map()

/** Reads the whole input, or until the handler has enough. */
export function readTags(html: string, handler: TagHandler): void {
  let from = 0
  while (from < html.length) {
    const at = nextTag(html, from)
    if (at > from && !handler.text(html.slice(from, at))) return
    if (at >= html.length) return
    from = readMarkup(html, at, handler)
  }
}

/** Where the next `<` stands that begins a tag or a comment; the end where none does. */
function nextTag(html: string, from: number): number {
  for (let at = html.indexOf('<', from); at >= 0; at = html.indexOf('<', at + 1)) {
    const next = html.charCodeAt(at + 1)
    if (isLetter(next) || next === 33 || next === 63) return at
    if (next === 47 && at + 2 < html.length) return at
  }
  return html.length
}

function isLetter(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90)
}

/** Reads what begins with the `<` at `at`; gives where to go on. */
function readMarkup(html: string, at: number, handler: TagHandler): number {
  const next = html.charCodeAt(at + 1)
  if (next === 33) return afterDeclaration(html, at)
  const isEnd = next === 47
  const start = isEnd ? at + 2 : at + 1
  // `<?…>`, `</…>` without a name: a comment to the next bracket.
  if (!isLetter(html.charCodeAt(start))) return after(html, '>', at)
  const nameEnd = endOfName(html, start)
  const name = html.slice(start, Math.min(nameEnd, start + 32)).toLowerCase()
  const attributes = new Map<string, string>()
  const end = readAttributes(html, nameEnd, attributes)
  // A tag that the page ends in is no tag.
  if (end < 0) return html.length
  if (isEnd) {
    handler.close(name)
    return end
  }
  handler.open(name, attributes.size === 0 ? none : attributes, end)
  return rawElements.has(name) ? readRaw(html, name, end, handler) : end
}

function afterDeclaration(html: string, at: number): number {
  if (!html.startsWith('<!--', at)) return after(html, '>', at)
  // `<!-->` and `<!--->` are whole comments.
  if (html.startsWith('>', at + 4)) return at + 5
  if (html.startsWith('->', at + 4)) return at + 6
  return after(html, '-->', at + 4)
}

function after(html: string, mark: string, from: number): number {
  const at = html.indexOf(mark, from)
  return at < 0 ? html.length : at + mark.length
}

function endOfName(html: string, from: number): number {
  let at = from
  while (at < html.length && !isSpace(html.charCodeAt(at)) && !isTagEnd(html.charCodeAt(at))) at++
  return at
}

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13)
}

/** `/` or `>`. */
function isTagEnd(code: number): boolean {
  return code === 47 || code === 62
}

/** Reads attributes up to the `>`; gives where the tag ends, -1 where it never does. */
function readAttributes(html: string, from: number, into: Map<string, string>): number {
  let at = from
  while (at < html.length) {
    const code = html.charCodeAt(at)
    if (code === 62) return at + 1
    if (isSpace(code) || code === 47) {
      at++
      continue
    }
    const nameStart = at
    // A leading `=` belongs to the name.
    at++
    while (at < html.length && !isNameEnd(html.charCodeAt(at))) at++
    const name = html.slice(nameStart, Math.min(at, nameStart + 64)).toLowerCase()
    at = skipSpace(html, at)
    let value = ''
    if (html.charCodeAt(at) === 61) {
      const start = skipSpace(html, at + 1)
      const quote = html[start]
      const isQuoted = quote === '"' || quote === "'"
      const valueStart = isQuoted ? start + 1 : start
      const end = isQuoted ? html.indexOf(quote, valueStart) : endOfValue(html, start)
      if (end < 0) return -1
      value = html.slice(valueStart, Math.min(end, valueStart + maxValue))
      at = isQuoted ? end + 1 : end
    }
    if (into.size < maxAttributes && !into.has(name)) into.set(name, value)
  }
  return -1
}

function isNameEnd(code: number): boolean {
  return code === 61 || isSpace(code) || isTagEnd(code)
}

function skipSpace(html: string, from: number): number {
  let at = from
  while (at < html.length && isSpace(html.charCodeAt(at))) at++
  return at
}

function endOfValue(html: string, from: number): number {
  let at = from
  while (at < html.length && !isSpace(html.charCodeAt(at)) && html.charCodeAt(at) !== 62) at++
  return at
}

function readRaw(html: string, name: string, from: number, handler: TagHandler): number {
  const end = new RegExp(`</${name}(?=[\\s/>])`, 'gi')
  end.lastIndex = from
  const found = end.exec(html)
  handler.raw(name, html.slice(from, found?.index ?? html.length))
  return found === null ? html.length : after(html, '>', found.index)
}
