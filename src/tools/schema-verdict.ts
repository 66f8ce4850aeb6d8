// What judging a value by a schema can give, and what it may cost.

/** Where a value does not fit. It is put into words only if it is the one to be told. */
export interface Mismatch {
  at: At | undefined
  tell: () => string
}

export type Verdict = 'fits' | 'unknown' | Mismatch

/** A step down into the value. */
export interface At {
  parent: At | undefined
  key: string | number
  depth: number
}

const maxPathLength = 200

/** The steps that a check may take. */
export class Budget {
  readonly maxDepth: number
  #left: number
  /** From here on nothing is known. */
  spent = false

  constructor(maxSteps: number, maxDepth: number) {
    this.#left = maxSteps
    this.maxDepth = maxDepth
  }

  /** True once the budget is spent. */
  cost(steps: number): boolean {
    this.#left -= steps
    this.spent ||= this.#left < 0
    return this.spent
  }

  /** Something is deeper than is followed. */
  exceed(): Verdict {
    this.spent = true
    return 'unknown'
  }
}

/** The verdict of demands that must all be met: the first mismatch, else unknown where one is. */
export class All {
  verdict: Verdict = 'fits'

  get failed(): boolean {
    return isMismatch(this.verdict)
  }

  /** True where one has failed: the others change nothing. */
  add(verdict: Verdict): boolean {
    if (this.verdict === 'fits' || isMismatch(verdict)) this.verdict = verdict
    return this.failed
  }
}

/** True for the verdict that a value does not fit. */
export function isMismatch(verdict: Verdict): verdict is Mismatch {
  return typeof verdict === 'object'
}

/** Of two alternatives, the one that tells more: of two mismatches, the one that is deeper in the value. */
export function better(one: Verdict, other: Verdict): Verdict {
  if (one === 'fits' || other === 'fits') return 'fits'
  if (!isMismatch(one)) return one
  if (!isMismatch(other)) return other
  return (other.at?.depth ?? 0) > (one.at?.depth ?? 0) ? other : one
}

/** One step further down. */
export function step(parent: At | undefined, key: string | number): At {
  return { parent, key, depth: (parent?.depth ?? 0) + 1 }
}

/** The verdict that a value does not fit. */
export function mismatch(at: At | undefined, tell: () => string): Mismatch {
  return { at, tell }
}

/** `#/people/0/age`, and what is wrong there. */
export function inWords({ at, tell }: Mismatch): { path: string; message: string } {
  const keys: string[] = []
  for (let here = at; here !== undefined; here = here.parent) {
    keys.push(String(here.key).replaceAll('~', '~0').replaceAll('/', '~1'))
  }
  return { path: cut(['#', ...keys.reverse()].join('/'), maxPathLength), message: tell() }
}

/** A value of the client's in a message, cut to a length. */
export function shown(value: unknown): string {
  return cut(JSON.stringify(value) ?? '', 200)
}

/** A text of the client's in a message, cut to a length. */
export function cut(text: string, length = 80): string {
  return text.length > length ? `${text.slice(0, length)}…` : text
}
