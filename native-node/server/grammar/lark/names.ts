// What the names of a grammar stand for. A grammar that Lark itself would refuse is refused here.
import { GrammarFault, NotHeld } from '../fault.ts'
import { parseRegex } from '../regex-parser.ts'
import { commonTerminals } from './common.ts'
import type { Definition, Expression, LarkFile } from './parser.ts'

export interface Names {
  /** Every definition by its name, the imported ones too. */
  known: ReadonlyMap<string, Definition>
  /** The terminals, each behind all that are a part of it. */
  terminals: readonly Definition[]
}

/** Throws GrammarFault, NotHeld. */
export function namesOf(file: LarkFile): Names {
  const known = new Map<string, Definition>()
  for (const definition of [...file.imports.map(imported), ...file.definitions]) {
    const { name, at } = definition
    if (known.has(name)) throw new GrammarFault(`'${name}' is defined more than once`, at)
    known.set(name, definition)
  }
  if (!known.has('start')) throw new GrammarFault("there is no rule 'start'", 0)
  for (const { body } of [...known.values(), ...file.ignored]) {
    for (const { name, at } of namesIn(body)) {
      if (!known.has(name)) throw new GrammarFault(`'${name}' is used but not defined`, at)
    }
  }
  const terminals = partsFirst([...known.values()].filter(({ isTerminal }) => isTerminal))
  return { known, terminals }
}

function imported({ name, as, at }: LarkFile['imports'][number]): Definition {
  const pattern = commonTerminals.get(name)
  if (pattern !== undefined) {
    return { name: as, isTerminal: true, body: { kind: 'pattern', node: parseRegex(pattern) }, at }
  }
  if (commonTerminals.has(name)) throw new NotHeld(`common.${name}`)
  throw new GrammarFault(`the library 'common' has no '${name.slice(0, 40)}'`, at)
}

/** Every name in it, as often as it is there. */
export function namesIn(body: Expression): (Expression & { kind: 'name' })[] {
  const found: (Expression & { kind: 'name' })[] = []
  const left: Expression[] = [body]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (next.kind === 'name') found.push(next)
    else if (next.kind === 'sequence') left.push(...next.parts)
    else if (next.kind === 'choice') left.push(...next.options)
    else if (next.kind === 'repeat') left.push(next.part)
  }
  return found
}

/** Throws GrammarFault for a terminal that is a part of itself. Those that are part of no other are taken away, until none is left. */
function partsFirst(terminals: readonly Definition[]): Definition[] {
  const parts = new Map(
    terminals.map((terminal) => [terminal, namesIn(terminal.body).map(({ name }) => name)]),
  )
  const byName = new Map(terminals.map((terminal) => [terminal.name, terminal]))
  const uses = new Map<string, number>()
  for (const name of [...parts.values()].flat()) uses.set(name, (uses.get(name) ?? 0) + 1)
  const free = terminals.filter(({ name }) => !uses.get(name))
  for (const terminal of free) {
    for (const part of parts.get(terminal)!) {
      const left = uses.get(part)! - 1
      uses.set(part, left)
      if (left === 0) free.push(byName.get(part)!)
    }
  }
  const circular = terminals.find(({ name }) => (uses.get(name) ?? 0) > 0)
  if (circular === undefined) return free.toReversed()
  throw new GrammarFault(`the terminal '${circular.name}' is a part of itself`, circular.at)
}
