// Names of tools as functions: a namespace joined with the tool's own name, within the 64 characters that servers take, no
// two alike.

const maxLength = 64

export class ToolNames {
  readonly #taken = new Set<string>()
  /** Namespace and name → the function's name. */
  readonly #flat = new Map<string, string>()
  /** Names that were wanted again → the last number that one was told apart by. */
  readonly #numbers = new Map<string, number>()

  /** Names that are given as they are. */
  constructor(given: Iterable<string>) {
    for (const name of given) this.#taken.add(name)
  }

  /** The function for a tool; the same one each time. */
  flat(namespace: string | undefined, name: string): string {
    const key = JSON.stringify([namespace, name])
    const known = this.#flat.get(key)
    if (known !== undefined) return known
    const wanted = joined(namespace, name)
    let flat = wanted
    while (this.#taken.has(flat)) {
      const n = (this.#numbers.get(wanted) ?? 1) + 1
      this.#numbers.set(wanted, n)
      const ending = `_${n}`
      flat = wanted.slice(0, maxLength - ending.length) + ending
    }
    this.#taken.add(flat)
    this.#flat.set(key, flat)
    return flat
  }
}

function joined(namespace: string | undefined, name: string): string {
  const separator = namespace?.endsWith('__') === true ? '' : '__'
  const whole = namespace === undefined ? name : `${namespace}${separator}${name}`
  const clean = whole.replaceAll(/[^\w-]/g, '_')
  if (clean.length <= maxLength) return clean
  const ending = `_${hash(whole)}`
  return clean.slice(0, maxLength - ending.length) + ending
}

/** FNV-1a: short, and the same in every request, so that prompts keep their prefix. */
function hash(text: string): string {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  }
  return (value >>> 0).toString(36)
}
