// A body on its way to the client, of which a copy is made.

/** Longer answers are not kept: as much as of a stored stream's events. */
const maxCopyBytes = 8 * 1024 * 1024

export interface AnswerCopyOptions {
  body: ReadableStream<Uint8Array>
  /** Told once, before the client sees the end: it has all of it, it has left before that, or the upstream was lost. */
  onEnd: (how: 'ended' | 'cancelled' | 'failed') => Promise<void>
}

export class AnswerCopy {
  /** What the client reads. */
  readonly stream: ReadableStream<Uint8Array>
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #onEnd: AnswerCopyOptions['onEnd']
  #pieces: Uint8Array[] = []
  #bytes = 0
  /** Set when all of it is at hand. */
  #complete = false
  #rest: Promise<Uint8Array[]> | undefined

  constructor({ body, onEnd }: AnswerCopyOptions) {
    this.#reader = body.getReader()
    this.#onEnd = onEnd
    this.stream = new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller), cancel: () => this.#cancel() },
      { highWaterMark: 0 },
    )
  }

  /** No more will be made: what is left is read even where the client leaves now. */
  complete(): void {
    this.#complete = true
  }

  /** All of it; undefined where it is longer than what is kept. */
  get text(): string | undefined {
    if (this.#bytes > maxCopyBytes) return undefined
    const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })
    const texts = this.#pieces.map((piece) => decoder.decode(piece, { stream: true }))
    return texts.join('') + decoder.decode()
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { done, value } = await this.#read()
    if (value !== undefined) controller.enqueue(value)
    if (!done && !this.#complete) return
    for (const piece of await this.#remaining()) controller.enqueue(piece)
    await this.#onEnd('ended')
    controller.close()
  }

  /** A client may well leave with the last event and not wait for the end of the connection. */
  async #cancel(): Promise<void> {
    if (!this.#complete) {
      await this.#reader.cancel().catch(() => undefined)
      await this.#onEnd('cancelled')
      return
    }
    await this.#remaining()
    await this.#onEnd('ended')
  }

  /** Once: the client may leave while it is read. */
  #remaining(): Promise<Uint8Array[]> {
    this.#rest ??= (async () => {
      const pieces: Uint8Array[] = []
      for (;;) {
        const { done, value } = await this.#read()
        if (value !== undefined) pieces.push(value)
        if (done) return pieces
      }
    })()
    return this.#rest
  }

  async #read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
    try {
      const read = await this.#reader.read()
      if (read.value !== undefined) this.#push(read.value)
      return read
    } catch (error) {
      await this.#onEnd('failed')
      throw error
    }
  }

  #push(piece: Uint8Array): void {
    this.#bytes += piece.length
    if (this.#bytes > maxCopyBytes) this.#pieces = []
    else this.#pieces.push(piece)
  }
}
