// Puts the text of a page together: white space as a browser collapses it, lines and blocks, links and pictures.
import { cleanText, type Links, maxPageText } from './page-text.ts'

/** A link with more text than this has lost its end tag: the rest is text. */
const maxLinkText = 400
const maxAlt = 200

export class TextBuilder {
  readonly #links: Links
  #pieces: string[] = []
  #length = 0
  /** Line feeds to write before the next text: none, one, or two after a block. */
  #breaks = 0
  /** A blank to write before the next text of the same line. */
  #blank = false
  /** The open link. */
  #href: string | undefined
  #linkText = ''
  #images = 0
  /** Text of a list's bullet or a heading that waits for the words it belongs to. */
  #lead = ''
  /** How much was written when the row of a table began. */
  #rowStart = 0
  /** Nothing is written yet in the cell: its first paragraph begins no line. */
  #cellIsEmpty = false

  constructor(links: Links) {
    this.#links = links
  }

  get isFull(): boolean {
    return this.#length >= maxPageText
  }

  get length(): number {
    return this.#length
  }

  /** Text of a flow: runs of white space count as one blank. */
  inline(text: string): void {
    const words = cleanText(text).replace(/[\s\u00a0]+/g, ' ')
    if (this.#href !== undefined) {
      this.#linkText += words
      if (this.#linkText.length > maxLinkText) this.closeLink()
      return
    }
    this.#write(words)
  }

  /** Text whose white space stands. */
  preformatted(text: string): void {
    if (this.#href !== undefined) {
      this.inline(text)
      return
    }
    const clean = cleanText(text)
    if (clean.trim() === '' && this.#pieces.length === 0) return
    this.#flush()
    this.#push(clean)
  }

  /** The next text begins a line. */
  line(): void {
    this.#break(1)
  }

  /** The next text begins a line after a blank one. */
  block(): void {
    this.#break(2)
  }

  /** A line that begins with `lead` once it has words. */
  item(lead: string): void {
    this.line()
    if (this.#href === undefined) this.#lead = lead
  }

  /** A row of a table begins. */
  row(): void {
    this.closeLink()
    this.#cellIsEmpty = false
    this.line()
    this.#rowStart = this.#pieces.length
  }

  /** A cell begins, in one line with those before it. */
  cell(isFirst: boolean): void {
    this.closeLink()
    if (!isFirst) {
      if (this.#pieces.length > this.#rowStart) this.#breaks = 0
      this.#lead = ''
      this.#write(' | ')
    }
    this.#cellIsEmpty = true
  }

  openLink(href: string): void {
    this.closeLink()
    this.#href = href
  }

  closeLink(): void {
    if (this.#href === undefined) return
    const [href, text] = [this.#href, this.#linkText]
    this.#href = undefined
    this.#linkText = ''
    const mark = this.#links.mark(href, text)
    // Blanks within the link's ends belong to the text around it.
    this.#write(`${/^\s/.test(text) ? ' ' : ''}${mark}${/\s$/.test(text) ? ' ' : ''}`)
  }

  image(alt: string): void {
    const name = alt.replace(/\s+/g, ' ').trim().slice(0, maxAlt)
    if (name !== '') this.inline(`[Image ${this.#images++}: ${name}]`)
  }

  /** The whole text; nothing may be added after it. */
  end(): string {
    this.closeLink()
    return this.#pieces.join('')
  }

  #break(feeds: number): void {
    if (this.#href !== undefined) this.#linkText += ' '
    else if (!this.#cellIsEmpty) this.#breaks = Math.max(this.#breaks, feeds)
  }

  #write(words: string): void {
    const text = words.trim()
    if (text === '') {
      if (words !== '') this.#blank = true
      return
    }
    this.#blank ||= words.startsWith(' ')
    this.#flush()
    this.#push(text)
    this.#blank = words.endsWith(' ')
  }

  /** Writes what waits before the next text. */
  #flush(): void {
    if (this.#breaks > 0) {
      if (this.#pieces.length > 0) this.#push('\n'.repeat(this.#breaks))
      this.#blank = false
      this.#breaks = 0
    }
    if (this.#lead !== '') this.#push(this.#lead)
    else if (this.#blank && this.#pieces.length > 0) this.#push(' ')
    this.#lead = ''
    this.#blank = false
  }

  #push(text: string): void {
    this.#cellIsEmpty = false
    this.#pieces.push(text)
    this.#length += text.length
  }
}
