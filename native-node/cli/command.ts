// What a command of `bin/switchyard` is, how its words are parsed and how its help is printed.
// stdout carries only the command's result; progress and messages go to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

export interface Option {
  type: 'string' | 'boolean'
  /** Shown after the flag in help: `DIR`, `N`. */
  value?: string
  help: string
  short?: string
  required?: boolean
  default?: string
}

export interface Invocation {
  /** Values as given; absent options are undefined. */
  text(name: string): string | undefined
  flag(name: string): boolean
  /** A whole number within bounds, or `fallback` when the option is absent. */
  integer(name: string, fallback: number, bounds?: { min?: number; max?: number }): number
  positionals: string[]
}

export interface Command {
  name: string
  summary: string
  /** What stands after the name in the usage line. */
  usage: string
  /** More lines for --help: what goes in, what comes out. */
  details?: string
  options: Record<string, Option>
  positionals?: { min: number; max: number }
  /** Returns the exit code. */
  run(invocation: Invocation): Promise<number>
}

/** The caller's words are off: message and usage on stderr, exit code 2. */
export class UsageError extends Error {}

/** The command failed for a reason that the user can read: message on stderr, exit code 1, no stack. */
export class CommandError extends Error {}

export const note = (line: string) => process.stderr.write(`${line}\n`)

/** Writes a result to stdout and waits until the pipe took it: process.exit must not cut it. */
export function print(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

export function helpOf(command: Command): string {
  const rows = Object.entries({
    ...command.options,
    help: { type: 'boolean', help: 'show this help' } as Option,
  }).map(([name, option]) => {
    const flag = `${option.short ? `-${option.short}, ` : ''}--${name}${option.type === 'string' ? ` ${option.value ?? 'TEXT'}` : ''}`
    const extra = option.required
      ? ' (required)'
      : option.default === undefined
        ? ''
        : ` (default ${option.default})`
    return [flag, `${option.help}${extra}`] as const
  })
  const width = Math.max(...rows.map(([flag]) => flag.length)) + 2
  const lines = [
    `Usage: switchyard ${command.name}${command.usage ? ` ${command.usage}` : ''}`,
    '',
    command.summary,
  ]
  if (command.details) lines.push('', command.details)
  lines.push('', 'Options:', ...rows.map(([flag, help]) => `  ${flag.padEnd(width)}${help}`))
  return `${lines.join('\n')}\n`
}

/** Parses `words` for `command`; throws UsageError naming what is wrong. */
export function parseInvocation(command: Command, words: string[]): Invocation | 'help' {
  const config: ParseArgsOptionsConfig = { help: { type: 'boolean', short: 'h' } }
  for (const [name, option] of Object.entries(command.options)) {
    config[name] = option.short ? { type: option.type, short: option.short } : { type: option.type }
  }
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    parsed = parseArgs({
      args: words,
      options: config,
      allowPositionals: true,
      strict: true,
    }) as typeof parsed
  } catch (error) {
    throw new UsageError(whatIsOff(error, command))
  }
  if (parsed.values.help === true) return 'help'
  const bounds = command.positionals ?? { min: 0, max: 0 }
  if (parsed.positionals.length < bounds.min) throw new UsageError('An argument is missing.')
  const surplus = parsed.positionals[bounds.max]
  if (surplus !== undefined) throw new UsageError(`Unexpected argument '${surplus}'.`)

  const text = (name: string) => {
    const value = parsed.values[name]
    return typeof value === 'string' ? value : undefined
  }
  for (const [name, option] of Object.entries(command.options)) {
    if (option.required && text(name) === undefined) throw new UsageError(`--${name} is required.`)
  }
  return {
    text,
    flag: (name) => parsed.values[name] === true,
    integer: (name, fallback, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}) => {
      const given = text(name)
      return given === undefined ? fallback : parseInteger(given, `--${name}`, min, max)
    },
    positionals: parsed.positionals,
  }
}

/** Node's message about an unknown option goes on with advice about `--` that is of no use here. */
function whatIsOff(error: unknown, command: Command): string {
  const message = error instanceof Error ? error.message : String(error)
  const unknown = /^Unknown option '([^']*)'/.exec(message)?.[1]
  if (unknown === undefined) return message
  const known = [...Object.keys(command.options), 'help'].map((name) => `--${name}`)
  return `There is no option '${unknown}'; there are ${known.join(', ')}.`
}

export function parseInteger(
  text: string,
  what: string,
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const value = Number(text)
  if (!/^\s*-?\d+\s*$/.test(text) || !Number.isSafeInteger(value) || value < min || value > max) {
    throw new UsageError(`${what} must be a whole number from ${min} to ${max}, not '${text}'.`)
  }
  return value
}

export function parseChoice<T extends string>(
  text: string,
  what: string,
  choices: readonly T[],
): T {
  const choice = choices.find((candidate) => candidate === text)
  if (!choice) throw new UsageError(`${what} must be one of ${choices.join(', ')}, not '${text}'.`)
  return choice
}

/** Everything on standard input, byte for byte. */
export async function readStdin(): Promise<Buffer> {
  if (process.stdin.isTTY) note('Reading standard input; end it with Ctrl-D.')
  const pieces: Buffer[] = []
  for await (const piece of process.stdin) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
