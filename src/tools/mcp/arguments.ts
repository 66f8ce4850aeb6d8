// What a model wrote as arguments, before it becomes a call: a fault is told to the model, which may do better, and the
// server hears nothing of it. Schemas are a foreign server's; the check of them is bounded (structured-check.ts).
import { isObject } from '../../protocol/check.ts'
import { compileSchema, type SchemaCheck } from '../structured-check.ts'
import { mcpLimits } from './limits.ts'
import type { McpTool } from './tool-list.ts'

export type CheckedArguments =
  | { args: Record<string, unknown>; fault?: never }
  /** For the model: what is wrong, and that nothing was called. */
  | { args?: never; fault: string }

/** Of a tool whose schema was looked at before; null where nothing can be said by it. */
const known = new WeakMap<McpTool, SchemaCheck | null>()

/** Parses the arguments and holds them to the tool's schema. A schema that cannot be checked leaves it to the server. */
export function checkArguments(tool: McpTool, text: string): CheckedArguments {
  if (text.length > mcpLimits.argumentsLength) return { fault: refusal('they are too long') }
  let value: unknown
  try {
    // Models write nothing where a tool needs nothing.
    value = text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    return { fault: refusal('they are not valid JSON') }
  }
  if (!isObject(value)) return { fault: refusal('they are not a JSON object') }
  const fault = checkOf(tool)?.check(value)
  // What is too deep or too large to be checked may well be right.
  if (fault === undefined || fault.unchecked) return { args: value }
  const at = fault.path === '#' ? '' : ` at ${fault.path}`
  return { fault: refusal(`they do not fit the tool's schema${at}: ${fault.message}`) }
}

function checkOf(tool: McpTool): SchemaCheck | null {
  let check = known.get(tool)
  if (check === undefined) {
    try {
      check = compileSchema(tool.input_schema, { maxBytes: mcpLimits.schemaBytes })
    } catch {
      check = null
    }
    known.set(tool, check)
  }
  return check
}

function refusal(why: string): string {
  return `The tool was not called, as its arguments are wrong: ${why}.`
}
