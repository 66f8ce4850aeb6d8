// The tools that gpt-oss was trained with and calls without `functions.`: Python, whose calls are bare code, and a browser.
// A request declares them as the freeform tool `python` and the namespace `browser`; by the time that a prompt is made both
// are functions (convert/agent-tools.ts), and here those functions are told as what they were trained as.
import type { ResponsesRequest } from '../../src/protocol/responses.ts'
import { type CallShapes, inputKey } from '../../src/stream/call-shape.ts'
import {
  browserFunctions,
  browserName,
  browserTool,
  pythonName,
  pythonTool,
} from '../../src/tools/trained-tools.ts'
import type { HarmonyTool, SystemContent } from './harmony-message.ts'
import { inlineSchema } from './harmony-schema.ts'

type Namespaces = NonNullable<SystemContent['tools']>

/** A tool as its client declared it. */
type Declared = Record<string, unknown>

interface Source {
  tool: Declared
  /** Where it stands in the request. */
  path: string
}

export class BuiltInTools {
  /** Function → who is called for it: `python`, `browser.search`. */
  readonly #recipients = new Map<string, string>()
  readonly #functions = new Map<string, string>()
  readonly #python: Source | undefined
  readonly #browser: Source | undefined

  /** `given`: the request as it came; `calls`: what its functions are to the client. */
  constructor(given: ResponsesRequest, calls: CallShapes) {
    const tools: Declared[] = given.tools ?? []
    const declared = tools.map((tool, index) => ({ tool, path: `tools[${index}]` }))
    const shape = calls.get(pythonName)
    if (shape?.kind === 'custom' && shape.namespace === undefined) {
      this.#python = declared.find(({ tool: { type, name } }) => {
        return type === 'custom' && name === pythonName
      })
    }
    if (this.#python) this.#add(pythonName, pythonName)
    this.#browser = declared.find(({ tool }) => isBrowser(tool))
    for (const [name, call] of this.#browser ? calls : []) {
      if (call.kind !== 'function' || call.namespace !== browserName) continue
      this.#add(name, `${browserName}.${call.name}`)
    }
  }

  /** Who is called for a function; undefined for an ordinary one. */
  recipient(name: string): string | undefined {
    return this.#recipients.get(name)
  }

  /** The function behind a recipient. */
  functionOf(recipient: string): string | undefined {
    return this.#functions.get(recipient)
  }

  /** Calls of the function are bare code. */
  takesCode(name: string): boolean {
    return this.#recipients.get(name) === pythonName
  }

  /** The tools of the system message, as far as their functions are offered. */
  namespaces(offered: ReadonlySet<string>): Namespaces | undefined {
    const all: Namespaces = {}
    const { tool: browser, path = '' } = this.#browser ?? {}
    const tools = listed(browser).flatMap((inner, index) =>
      offered.has(this.#functions.get(`${browserName}.${inner.name}`) ?? '')
        ? [harmonyTool(inner, `${path}.tools[${index}]`)]
        : [],
    )
    if (tools.length > 0) {
      const description = textOf(browser?.description) ?? browserTool().description
      all[browserName] = { name: browserName, description, tools }
    }
    if (this.#python && offered.has(pythonName)) {
      const description = textOf(this.#python.tool.description) ?? pythonTool().description
      all[pythonName] = { name: pythonName, description, tools: [] }
    }
    return Object.keys(all).length === 0 ? undefined : all
  }

  #add(name: string, recipient: string): void {
    this.#recipients.set(name, recipient)
    this.#functions.set(recipient, name)
  }
}

/** A namespace of that name with other functions is a client's own. */
function isBrowser(tool: Declared): boolean {
  if (tool.type !== 'namespace' || tool.name !== browserName) return false
  const inner = listed(tool)
  return (
    inner.length > 0 &&
    inner.every(
      ({ type, name }) => type === 'function' && browserFunctions.some((known) => known === name),
    )
  )
}

function listed(tool: Declared | undefined): Declared[] {
  return Array.isArray(tool?.tools) ? tool.tools : []
}

function harmonyTool({ name, description, parameters }: Declared, path: string): HarmonyTool {
  return {
    name: String(name),
    description: textOf(description),
    parameters: inlineSchema(parameters ?? undefined, `${path}.parameters`),
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The code in a call's arguments. */
export function codeOf(args: string): string {
  return stringIn(args) ?? args
}

/** The one text in a JSON object, as the freeform tool has it or as a model makes it up: `{"code": …}`. */
function stringIn(text: string): string | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const texts = Object.values(value)
  const [only] = texts
  return texts.length === 1 && typeof only === 'string' ? only : undefined
}

/** Code as a model writes it → the arguments of the freeform tool, as they grow. */
export class CodeArguments {
  /** `object`: it may be JSON, which shows at its end alone. */
  #state: 'before' | 'code' | 'object' = 'before'
  /** What is not written yet. */
  #held = ''
  #passed = ''

  /** Everything that push and end have given. */
  get text(): string {
    return this.#passed
  }

  push(piece: string): string {
    if (this.#state === 'code') return this.#pass(quoted(piece))
    this.#held += piece
    const first = this.#held.trimStart()[0]
    if (this.#state === 'object' || first === undefined) return ''
    if (first === '{') {
      this.#state = 'object'
      return ''
    }
    this.#state = 'code'
    return this.#pass(`{"${inputKey}":"${quoted(this.#held)}`)
  }

  /** The code is whole, or as whole as it will be. */
  end(): string {
    if (this.#state === 'code') return this.#pass('"}')
    const code = codeOf(this.#held)
    return this.#pass(JSON.stringify({ [inputKey]: code }))
  }

  #pass(text: string): string {
    this.#passed += text
    return text
  }
}

function quoted(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}
