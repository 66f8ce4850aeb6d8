// The events of one message whose text may cite pages: the text with links in place of the model's citations, and their
// annotations. Indices and order stay those of the message.
import { isObject } from '../protocol/check.ts'
import { CitationRewriter, type FindSource, type Rewritten } from './citations.ts'
import { placed } from './container-files.ts'
import type { Json } from './runner.ts'

interface CitedPart {
  rewriter: CitationRewriter
  text: string
  annotations: Json[]
}

export class CitedMessage {
  readonly #find: FindSource
  readonly #parts = new Map<unknown, CitedPart>()
  /** Files made before this message and not told yet: they come with its first text. */
  #files: readonly Json[]

  constructor(find: FindSource, files: readonly Json[]) {
    this.#find = find
    this.#files = files
  }

  /** An event of the message as the client gets it: none, itself, or several. */
  push(event: Json): Json[] {
    switch (event.type) {
      case 'response.output_text.delta':
        return this.#delta(event)
      case 'response.output_text.done':
        return this.#textDone(event)
      case 'response.content_part.done': {
        const part = this.#parts.get(event.content_index)
        return [part === undefined ? event : { ...event, part: cited(event.part, part) }]
      }
      default:
        return [event]
    }
  }

  /** The message as a whole; its parts need not have come as events. */
  item(item: Json): Json {
    if (!Array.isArray(item.content)) return item
    const content = item.content.map((part: unknown, index) => {
      if (!isObject(part) || part.type !== 'output_text') return part
      const known = this.#parts.get(index)
      return cited(part, known ?? this.#withFiles(this.#whole(part)))
    })
    return { ...item, content }
  }

  #delta(event: Json): Json[] {
    const part = this.#part(event.content_index)
    return this.#told(event, part, part.rewriter.push(String(event.delta ?? '')))
  }

  #textDone(event: Json): Json[] {
    const known = this.#parts.get(event.content_index)
    // A server that sends no deltas tells the text here.
    const part = known ?? this.#whole({ text: event.text })
    const out =
      known === undefined
        ? this.#annotated(event, part, part.annotations)
        : this.#told(event, part, part.rewriter.end())
    if (known === undefined) this.#parts.set(event.content_index, part)
    const files = this.#takeFiles(part.text)
    out.push(...this.#annotated(event, part, files, part.annotations.length))
    part.annotations.push(...files)
    return [...out, { ...event, text: part.text }]
  }

  /** The events of what a rewriter gave. */
  #told(event: Json, part: CitedPart, { text, annotations }: Rewritten): Json[] {
    const first = part.annotations.length
    part.text += text
    part.annotations.push(...annotations.map((annotation) => ({ ...annotation })))
    const { item_id, output_index, content_index, logprobs = [] } = event
    const at = { item_id, output_index, content_index }
    const delta = { type: 'response.output_text.delta', ...at, delta: text, logprobs }
    const told = this.#annotated(event, part, part.annotations.slice(first), first)
    return text === '' ? told : [delta, ...told]
  }

  #annotated(event: Json, _part: CitedPart, annotations: readonly Json[], first = 0): Json[] {
    const { item_id, output_index, content_index } = event
    return annotations.map((annotation, index) => ({
      type: 'response.output_text.annotation.added',
      item_id,
      output_index,
      content_index,
      annotation_index: first + index,
      annotation,
    }))
  }

  #part(index: unknown): CitedPart {
    let part = this.#parts.get(index)
    if (part === undefined) {
      part = { rewriter: new CitationRewriter(this.#find), text: '', annotations: [] }
      this.#parts.set(index, part)
    }
    return part
  }

  /** Once: files belong to one text. */
  #takeFiles(text: string): Json[] {
    const files = this.#files.map((file) => placed(file, text))
    this.#files = []
    return files
  }

  #withFiles(part: CitedPart): CitedPart {
    return { ...part, annotations: [...part.annotations, ...this.#takeFiles(part.text)] }
  }

  #whole(part: Json): CitedPart {
    const rewriter = new CitationRewriter(this.#find)
    const parts = [rewriter.push(String(part.text ?? '')), rewriter.end()]
    const text = parts.map((each) => each.text).join('')
    const annotations = parts.flatMap((each): Json[] => each.annotations.map((one) => ({ ...one })))
    return { rewriter, text, annotations }
  }
}

function cited(part: unknown, { text, annotations }: CitedPart): unknown {
  if (!isObject(part) || part.type !== 'output_text') return part
  const before = Array.isArray(part.annotations) ? part.annotations : []
  return { ...part, text, annotations: [...before, ...annotations] }
}
