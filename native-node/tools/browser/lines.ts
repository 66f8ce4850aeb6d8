// Lines of a page as the model sees and cites them, and how many of them fit the window.

const width = 80

/** The text in lines of at most 80 characters. White space is kept, and empty lines: a line has its number for good. */
export function wrapLines(text: string): string[] {
  return text.split('\n').flatMap((line) => (line.length <= width ? [line] : wrapLine(line)))
}

function wrapLine(line: string): string[] {
  const lines: string[] = []
  let current = ''
  for (const [chunk] of line.matchAll(/\s+|\S+/g)) {
    if (current.length + chunk.length > width && chunk.length <= width) {
      if (current !== '') lines.push(current)
      current = chunk
      continue
    }
    let rest = chunk
    while (current.length + rest.length > width) {
      const room = wholeLength(rest, width - current.length)
      lines.push(current + rest.slice(0, room))
      rest = rest.slice(room)
      current = ''
    }
    current += rest
  }
  if (current !== '') lines.push(current)
  return lines
}

/** At most `length`, and no half of a character: but something, where a line is still empty. */
function wholeLength(text: string, length: number): number {
  return /[\ud800-\udbff]/.test(text[length - 1] ?? '') ? length - 1 : length
}

/** `L7: text` */
export function numbered(line: string, number: number): string {
  return `L${number}: ${line}`
}

/** Tokens of a text. */
export type CountTokens = (text: string) => number

/**
 * How many lines from `from` on fit the window, at least one. A token never reaches past a line feed into the `L` of the next
 * line (o200k's pattern keeps letters apart from what is before them), so that the sum over lines is the count of the whole.
 */
export function linesThatFit(
  lines: readonly string[],
  from: number,
  window: number,
  count: CountTokens,
): number {
  let before = 0
  let at = from
  while (at < lines.length) {
    const line = numbered(lines[at] ?? '', at)
    if (before + count(line) > window) break
    before += count(`${line}\n`)
    at++
  }
  return Math.max(1, at - from)
}

/** Lines with the text of their links alone. Each keeps its number, also where a link goes over several. */
export function withoutLinks(lines: readonly string[]): string[] {
  return lines
    .join('\n')
    .replace(/【\d+†([^†】]*)((?:†[^】]*)?)】/g, (_, text: string, domain: string) => {
      return text + domain.replace(/[^\n]+/g, '')
    })
    .split('\n')
}

/** The line that a search engine's snippet was taken from; undefined where it cannot be found. */
export function lineOfSnippet(lines: readonly string[], snippet: string): number | undefined {
  const starts: number[] = []
  let text = ''
  for (const line of withoutLinks(lines)) {
    starts.push(text.length)
    const words = plainWords(line)
    if (words !== '') text += `${words} `
  }
  const pieces = snippet
    .split(/…|\.\.\./)
    .map(plainWords)
    .filter((piece) => piece.length >= 20)
  for (const piece of pieces.slice(0, 3)) {
    const at = text.indexOf(piece.slice(0, 60))
    if (at >= 0) return starts.findLastIndex((start) => start <= at)
  }
  return undefined
}

/** Letters and digits, in lower case, single blanks between. */
function plainWords(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()
}
