// Arguments of a call as the model writes them: what it goes on saying behind the closing brace is dropped, everything
// else passes as it is, valid JSON or not (the client of an OpenAI API expects the raw string).

export class CallArguments {
  /** Undefined until the first character shows whether this is an object at all. */
  #object: boolean | undefined
  #depth = 0
  #inString = false
  #escaped = false
  #passed = ''

  /** Everything that push has let through. */
  get text(): string {
    return this.#passed
  }

  /** True once the outermost brace is closed. */
  get complete(): boolean {
    return this.#object === true && this.#depth === 0
  }

  push(piece: string): string {
    if (this.complete) return ''
    let end = 0
    for (const character of piece) {
      end += character.length
      this.#step(character)
      if (this.complete) break
    }
    const text = piece.slice(0, end)
    this.#passed += text
    return text
  }

  #step(character: string): void {
    if (this.#object === undefined) {
      if (/\s/.test(character)) return
      this.#object = character === '{'
    }
    if (!this.#object) return
    if (this.#escaped) this.#escaped = false
    else if (this.#inString) {
      if (character === '\\') this.#escaped = true
      else if (character === '"') this.#inString = false
    } else if (character === '"') this.#inString = true
    else if (character === '{' || character === '[') this.#depth++
    else if (character === '}' || character === ']') this.#depth--
  }
}
