// What a terminal begins with, and what it would go on with: a lexer takes the longest text that fits, so that behind `ab` as
// a name there is no `c`.
import { type CharacterRange, mergedRanges, otherThan } from '../characters.ts'
import { canBeEmpty } from '../pattern.ts'
import type { PatternNode } from '../pattern-parser.ts'

export type Ranges = readonly CharacterRange[]

export interface Terminal {
  /** Characters that its texts begin with. */
  first: Ranges
  /** Whether it may be the empty text. */
  isEmpty: boolean
  /** Characters that make, behind any of its texts, a longer one. */
  more: Ranges
  /** Two of its texts, one behind the other, are one of its texts. */
  isRun: boolean
}

/** Characters of a terminal with its repetitions written out. */
const maxPlaces = 300

/** Throws where it takes too many steps. */
export type Spend = (steps: number) => void

/** Undefined where the terminal is too long to be looked at. */
export function terminalOf(node: PatternNode, spend: Spend): Terminal | undefined {
  const places = new Places(spend)
  const all = places.read(node)
  if (places.ranges.length > maxPlaces) return undefined
  const sizes = places.ranges.map(({ length }) => length)
  const rangesOf = (all: Iterable<number>) => {
    let sum = 0
    for (const place of all) sum += sizes[place]!
    return sum
  }
  for (const place of all.last) spend(places.next[place]!.size + rangesOf(places.next[place]!))
  spend(rangesOf(all.first))
  const last = new Set(all.last)
  const longer = (next: Iterable<number>) =>
    mergedRanges(
      [...next].filter((place) => last.has(place)).flatMap((place) => places.ranges[place]!),
    )
  const ways = all.last.map((place) => longer(places.next[place]!))
  if (all.isEmpty) ways.push(longer(all.first))
  return {
    first: mergedRanges(all.first.flatMap((place) => places.ranges[place]!)),
    isEmpty: all.isEmpty,
    more: ways.length === 0 ? [] : ways.reduce<Ranges>(inBoth, otherThan([])),
    isRun: isRun(node),
  }
}

export function inBoth(one: Ranges, other: Ranges): Ranges {
  return otherThan([...otherThan(one), ...otherThan(other)])
}

/** Whether some character is in both, which are merged. */
export function overlap(one: Ranges, other: Ranges): boolean {
  let [at, otherAt] = [0, 0]
  while (at < one.length && otherAt < other.length) {
    const [[first, last], [otherFirst, otherLast]] = [one[at]!, other[otherAt]!]
    if (first <= otherLast && otherFirst <= last) return true
    if (last < otherLast) at++
    else otherAt++
  }
  return false
}

/** The texts of a terminal that are not empty and begin with none of these characters; undefined where there are none. */
export function beginningOutside(
  node: PatternNode,
  ranges: Ranges,
  spend: Spend,
): PatternNode | undefined {
  const inside = (part: PatternNode) => beginningOutside(part, ranges, spend)
  spend(1)
  switch (node.kind) {
    case 'character': {
      spend(node.ranges.length + ranges.length)
      const left = inBoth(node.ranges, otherThan(ranges))
      return left.length === 0 ? undefined : { kind: 'character', ranges: left }
    }
    case 'choice':
      return oneOf(node.options.map(inside))
    case 'sequence': {
      const ways: (PatternNode | undefined)[] = []
      for (const [at, part] of node.parts.entries()) {
        spend(node.parts.length - at)
        ways.push(inFront(inside(part), node.parts.slice(at + 1)))
        if (!canBeEmpty(part)) break
      }
      return oneOf(ways)
    }
    case 'repeat': {
      const { part, least, most } = node
      const rest: PatternNode = {
        kind: 'repeat',
        part,
        least: Math.max(0, least - 1),
        most: most - 1,
      }
      return most === 0 ? undefined : inFront(inside(part), most === 1 ? [] : [rest])
    }
  }
}

function inFront(
  first: PatternNode | undefined,
  parts: readonly PatternNode[],
): PatternNode | undefined {
  return first && { kind: 'sequence', parts: [first, ...parts] }
}

function oneOf(ways: readonly (PatternNode | undefined)[]): PatternNode | undefined {
  const options = ways.filter((way) => way !== undefined)
  return options.length === 0 ? undefined : { kind: 'choice', options }
}

function isRun(node: PatternNode): boolean {
  if (node.kind === 'sequence' && node.parts.length === 1) return isRun(node.parts[0]!)
  return node.kind === 'repeat' && node.least <= 1 && node.most === Number.POSITIVE_INFINITY
}

interface Part {
  first: number[]
  last: number[]
  isEmpty: boolean
}

/** The characters of a terminal, each in its place, and which places can follow which (Glushkov). */
class Places {
  readonly ranges: Ranges[] = []
  readonly next: Set<number>[] = []
  readonly #spend: Spend

  constructor(spend: Spend) {
    this.#spend = spend
  }

  read(node: PatternNode): Part {
    // What is too long is not used; it is only to come to an end.
    this.#spend(1)
    if (this.ranges.length > maxPlaces) return { first: [], last: [], isEmpty: true }
    switch (node.kind) {
      case 'character': {
        const place = this.ranges.push(node.ranges) - 1
        this.next.push(new Set())
        return { first: [place], last: [place], isEmpty: false }
      }
      case 'choice': {
        const options = node.options.map((option) => this.read(option))
        return {
          first: options.flatMap(({ first }) => first),
          last: options.flatMap(({ last }) => last),
          isEmpty: options.some(({ isEmpty }) => isEmpty),
        }
      }
      case 'sequence':
        return node.parts.reduce((sum: Part, part) => this.#join(sum, this.read(part)), nothing)
      case 'repeat':
        return this.#repeat(node)
    }
  }

  #repeat({ part, least, most }: PatternNode & { kind: 'repeat' }): Part {
    const isEndless = most === Number.POSITIVE_INFINITY
    let sum = nothing
    for (
      let count = 0;
      count < Math.min(isEndless ? Math.max(1, least) : most, maxPlaces);
      count++
    ) {
      const one = this.read(part)
      if (one.isEmpty && one.first.length === 0) break
      sum = this.#join(sum, { ...one, isEmpty: one.isEmpty || count >= least })
      if (isEndless && count + 1 >= least) this.#link(one.last, one.first)
    }
    return sum
  }

  #join(one: Part, other: Part): Part {
    this.#link(one.last, other.first)
    this.#spend(one.first.length + other.first.length + one.last.length + other.last.length)
    return {
      first: one.isEmpty ? [...one.first, ...other.first] : one.first,
      last: other.isEmpty ? [...one.last, ...other.last] : other.last,
      isEmpty: one.isEmpty && other.isEmpty,
    }
  }

  #link(last: readonly number[], first: readonly number[]): void {
    this.#spend(last.length * first.length)
    for (const from of last) for (const to of first) this.next[from]!.add(to)
  }
}

const nothing: Part = { first: [], last: [], isEmpty: true }
