// Calls whose item is not a plain function_call. A model knows functions only; convert/agent-tools.ts offers it every other
// kind of tool as one, and here its calls become the items that the client declared the tools for.
import { ApiError } from '../errors.ts'
import type { IdPrefix } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import type { ItemStatus, OutputCall } from '../protocol/responses.ts'
import { isCompleteObject } from './json-object.ts'

/** What a call of one function is to the client. */
export type CallShape =
  | { kind: 'function'; name: string; namespace?: string }
  | { kind: 'custom'; name: string; namespace?: string; format?: FreeformFormat }
  | { kind: 'local_shell' | 'shell' | 'apply_patch' | 'tool_search' }

/** What the text of a freeform tool must be. */
export interface FreeformFormat {
  syntax: 'lark' | 'regex'
  definition: string
  /** The field that holds the definition, for errors. */
  path: string
}

/** By the name that the model sees; a name that is not listed is a function of that name. */
export type CallShapes = ReadonlyMap<string, CallShape>

export type CallKind = CallShape['kind']

/** The property that holds the text of a freeform tool's call. */
export const inputKey = 'input'

const prefixes: Record<CallKind, IdPrefix> = {
  function: 'fc',
  custom: 'ctc',
  local_shell: 'lsh',
  shell: 'sh',
  apply_patch: 'apc',
  tool_search: 'tsc',
}

/** The prefix of such an item's id. */
export function callIdPrefix(shape: CallShape): IdPrefix {
  return prefixes[shape.kind]
}

/** The item as it is announced: every field, with nothing in it yet. */
export function announcedCall(shape: CallShape, id: string, call_id: string): OutputCall {
  const head = { id, call_id, status: 'in_progress' as const }
  switch (shape.kind) {
    case 'function':
      return { ...head, type: 'function_call', ...named(shape), arguments: '' }
    case 'custom':
      return { ...head, type: 'custom_tool_call', ...named(shape), input: '' }
    case 'local_shell':
      return {
        ...head,
        type: 'local_shell_call',
        action: { type: 'exec', command: [], env: {} },
      }
    case 'shell': {
      const action = { commands: [], timeout_ms: null, max_output_length: null }
      return { ...head, type: 'shell_call', action, environment: null }
    }
    case 'apply_patch':
      return {
        ...head,
        type: 'apply_patch_call',
        operation: { type: 'update_file', path: '', diff: '' },
      }
    case 'tool_search':
      return { ...head, type: 'tool_search_call', execution: 'client', arguments: {} }
  }
}

function named({ name, namespace }: { name: string; namespace?: string }) {
  return namespace === undefined ? { name } : { name, namespace }
}

/**
 * The item with what the model wrote. Throws ApiError where a completed call says nothing that could be run; one that was
 * cut keeps what it was announced with.
 */
export function filledCall(item: OutputCall, status: ItemStatus, args: string): OutputCall {
  if (item.type === 'function_call') return { ...item, status, arguments: args }
  if (item.type === 'custom_tool_call') return { ...item, status, input: args }
  const value = parsed(args)
  const filled = value === undefined ? undefined : withAction({ ...item, status }, value)
  if (filled !== undefined) return filled
  if (status !== 'completed') return { ...item, status }
  const tool = item.type.replace(/_call$/, '')
  throw new ApiError(
    'structured_output_invalid',
    `The model called '${tool}' with arguments that do not fit the tool.`,
  )
}

/** The call is whole and says something that can be run. */
export function isRunnable(item: OutputCall, args: string): boolean {
  if (!isCompleteObject(args)) return false
  if (item.type === 'function_call' || item.type === 'custom_tool_call') return true
  const value = parsed(args)
  return value !== undefined && withAction(item, value) !== undefined
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

type ActionCall = Exclude<OutputCall, { type: 'function_call' | 'custom_tool_call' }>

function withAction(item: ActionCall, value: Record<string, unknown>): OutputCall | undefined {
  switch (item.type) {
    case 'local_shell_call': {
      const command = strings(value.command)
      if (command === undefined) return undefined
      const { timeout_ms, user, working_directory } = value
      const action = {
        type: 'exec' as const,
        command: typeof value.command === 'string' ? ['bash', '-lc', value.command] : command,
        env: stringMap(value.env),
        ...(typeof timeout_ms === 'number' ? { timeout_ms } : {}),
        ...(typeof user === 'string' ? { user } : {}),
        ...(typeof working_directory === 'string' ? { working_directory } : {}),
      }
      return { ...item, action }
    }
    case 'shell_call': {
      const commands = strings(value.commands)
      if (commands === undefined) return undefined
      const { timeout_ms, max_output_length } = value
      const action = {
        commands,
        timeout_ms: typeof timeout_ms === 'number' ? timeout_ms : null,
        max_output_length: typeof max_output_length === 'number' ? max_output_length : null,
      }
      return { ...item, action }
    }
    case 'apply_patch_call': {
      const operation = patchOperation(value)
      return operation === undefined ? undefined : { ...item, operation }
    }
    case 'tool_search_call':
      return { ...item, arguments: value }
  }
}

function patchOperation({ type, path, diff }: Record<string, unknown>) {
  if (typeof path !== 'string' || path === '') return undefined
  if (type === 'delete_file') return { type: 'delete_file' as const, path }
  if (typeof diff !== 'string') return undefined
  if (type === 'create_file') return { type: 'create_file' as const, path, diff }
  return type === 'update_file' ? { type: 'update_file' as const, path, diff } : undefined
}

/** A list of strings that is not empty; a lone string is a list of one. */
function strings(value: unknown): string[] | undefined {
  const list = typeof value === 'string' ? [value] : value
  if (!Array.isArray(list) || list.length === 0) return undefined
  return list.every((each) => typeof each === 'string') ? list : undefined
}

function stringMap(value: unknown): Record<string, string> {
  if (!isObject(value)) return {}
  const entries = Object.entries(value).flatMap(([key, each]) =>
    typeof each === 'string' ? [[key, each] as const] : [],
  )
  return Object.fromEntries(entries)
}

const escapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
  '/': '/',
}

/** How far into the arguments the text must begin to be streamed; else it is read when the call is whole. */
const maxOpening = 200

/**
 * The text in the arguments of a freeform tool's call, `{"input":"…"}`, as they grow. Models also write another key, or the
 * bare text: that shows only when the call is whole.
 */
export class FreeformInput {
  #state: 'before' | 'inside' | 'after' | 'other' = 'before'
  /** Arguments that are not read yet: an opening, half an escape, half a surrogate pair. */
  #held = ''
  #text = ''

  /** Everything given out so far. */
  get text(): string {
    return this.#text
  }

  /** Takes more of the arguments; gives what they add to the text. */
  push(args: string): string {
    if (this.#state === 'other' || this.#state === 'after') return ''
    this.#held += args
    if (this.#state === 'before') this.#open()
    return this.#state === 'inside' ? this.#read() : ''
  }

  /** The call is whole: gives what push() could not. */
  end(args: string): string {
    if (this.#state === 'inside' || this.#state === 'after') return ''
    return this.#add(textIn(args))
  }

  #open(): void {
    const opening = /^\s*\{\s*"input"\s*:\s*"/.exec(this.#held)
    if (opening !== null) {
      this.#state = 'inside'
      this.#held = this.#held.slice(opening[0].length)
    } else if (this.#held.length > maxOpening) this.#state = 'other'
  }

  #read(): string {
    const held = this.#held
    let at = 0
    for (;;) {
      if (held[at] === '"') {
        this.#state = 'after'
        break
      }
      const length = unitLength(held, at)
      if (length === 0) break
      at += length
    }
    this.#held = held.slice(at)
    return this.#add(unescaped(held.slice(0, at)))
  }

  #add(text: string): string {
    this.#text += text
    return text
  }
}

/** Length of the character or escape that begins here; 0 where it is not whole yet. Two escaped surrogates are one. */
function unitLength(raw: string, at: number): number {
  if (at >= raw.length) return 0
  if (raw[at] !== '\\') return 1
  if (raw[at + 1] !== 'u') return at + 1 < raw.length ? 2 : 0
  if (raw.length < at + 6) return 0
  if (!/^[dD][89abAB]/.test(raw.slice(at + 2, at + 4))) return 6
  const next = raw.slice(at + 6, at + 12)
  if (next.length === 6) return next.startsWith('\\u') ? 12 : 6
  return next === '' || next === '\\' || next.startsWith('\\u') ? 0 : 6
}

function unescaped(raw: string): string {
  return raw.replaceAll(/\\(u[0-9a-fA-F]{4}|[\s\S])/g, (written, code: string) =>
    code.length === 5
      ? String.fromCharCode(Number.parseInt(code.slice(1), 16))
      : (escapes[code] ?? written),
  )
}

/** The text of a freeform call that is whole. */
function textIn(args: string): string {
  const value = parsed(args)
  if (value === undefined) return args
  const texts = Object.values(value).filter((each) => typeof each === 'string')
  const input = value[inputKey]
  if (typeof input === 'string') return input
  return texts.length === 1 && texts[0] !== undefined ? texts[0] : args
}
