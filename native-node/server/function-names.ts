// Function names as the prompt needs them: harmony shows tools as TypeScript, so a name must be an identifier.
// Mapped on the way in, mapped back on the way out.

export interface FunctionNames {
  /** Names as the model sees them. */
  readonly shown: ReadonlySet<string>
  /** A client's name as the model sees it; also for calls in the history whose tool is no longer declared. */
  show(name: string): string
  /** The client's name behind a shown one; undefined for a tool that nobody declared. */
  original(shown: string): string | undefined
}

/** Maps names in order: `get-weather` → `get_weather`, and `get_weather_2` where that is taken. */
export function functionNames(names: readonly string[]): FunctionNames {
  const toShown = new Map<string, string>()
  const toOriginal = new Map<string, string>()
  /** Identifier → the last number that one like it was told apart by. */
  const numbers = new Map<string, number>()
  // Names that are fine keep themselves, whatever stands before them.
  for (const name of names) {
    if (identifier(name) === name) {
      toShown.set(name, name)
      toOriginal.set(name, name)
    }
  }
  for (const name of names) {
    if (toShown.has(name)) continue
    const base = identifier(name)
    let shown = base
    while (toOriginal.has(shown)) {
      const n = (numbers.get(base) ?? 1) + 1
      numbers.set(base, n)
      shown = `${base}_${n}`
    }
    toShown.set(name, shown)
    toOriginal.set(shown, name)
  }
  return {
    shown: new Set(toOriginal.keys()),
    show: (name) => toShown.get(name) ?? identifier(name),
    original: (shown) => toOriginal.get(shown),
  }
}

function identifier(name: string): string {
  const kept = name.replace(/[ .-]/g, '_').replace(/\W/g, '')
  if (kept === '') return 'unnamed'
  return /^\d/.test(kept) ? `_${kept}` : kept
}
