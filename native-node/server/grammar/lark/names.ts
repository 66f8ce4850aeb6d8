// What the names of a grammar stand for. A grammar that Lark itself would refuse is refused here.
import { GrammarFault, NotHeld } from '../fault.ts'
import { parseRegex } from '../regex-parser.ts'
import { commonTerminals } from './common.ts'
import type { Definition, Expression, LarkFile } from './parser.ts'

/** Every definition by its name, the imported ones too. Throws GrammarFault, NotHeld. */
export function definitionsOf(file: LarkFile): ReadonlyMap<string, Definition> {
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
  refuseRecursion([...known.values()].filter(({ isTerminal }) => isTerminal))
  return known
}

function imported({ name, as, at }: LarkFile['imports'][number]): Definition {
  const pattern = commonTerminals.get(name)
  if (pattern !== undefined) {
    return { name: as, isTerminal: true, body: { kind: 'pattern', node: parseRegex(pattern) }, at }
  }
  if (commonTerminals.has(name)) throw new NotHeld(`common.${name}`)
  throw new GrammarFault(`the library 'common' has no '${name.slice(0, 40)}'`, at)
}

function namesIn(body: Expression): (Expression & { kind: 'name' })[] {
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

/** A terminal is no part of itself. Those that are part of no other are taken away, until none is left. */
function refuseRecursion(terminals: readonly Definition[]): void {
  const parts = new Map(
    terminals.map((terminal) => [terminal.name, namesIn(terminal.body).map(({ name }) => name)]),
  )
  const uses = new Map<string, number>()
  for (const name of [...parts.values()].flat()) uses.set(name, (uses.get(name) ?? 0) + 1)
  const free = terminals.filter(({ name }) => !uses.get(name)).map(({ name }) => name)
  for (let name = free.pop(); name !== undefined; name = free.pop()) {
    for (const part of parts.get(name)!) {
      const left = uses.get(part)! - 1
      uses.set(part, left)
      if (left === 0) free.push(part)
    }
  }
  const circular = terminals.find(({ name }) => (uses.get(name) ?? 0) > 0)
  if (circular === undefined) return
  throw new GrammarFault(`the terminal '${circular.name}' is a part of itself`, circular.at)
}
