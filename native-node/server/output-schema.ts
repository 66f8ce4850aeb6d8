// Checks what the model wrote against a client's JSON schema (src/tools/structured-check.ts). What a node cannot check it
// does not call right.
import { isObject } from '../../src/protocol/check.ts'
import { compileSchema } from '../../src/tools/structured-check.ts'

/** A prompt carries the schema as text: much more would leave no room for anything else. */
const limits = { maxBytes: 65_536, maxNodes: 1000, maxDepth: 32 }

/** Undefined when the text is JSON that fits; else why it does not. */
export type OutputCheck = (text: string) => string | undefined

/** Prepares a client's schema; throws ApiError with `param` for one that can not be checked. */
export function compileOutputSchema(schema: unknown, param: string): OutputCheck {
  const compiled = compileSchema(schema, { ...limits, param })
  return (text) => {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return 'it is not valid JSON'
    }
    const fault = compiled.check(value)
    if (fault === undefined) return undefined
    return fault.unchecked ? `it ${fault.message}` : `${fault.path} ${fault.message}`
  }
}

/** `json_object`: any JSON object. */
export function checkJsonObject(text: string): string | undefined {
  try {
    return isObject(JSON.parse(text)) ? undefined : 'it is not a JSON object'
  } catch {
    return 'it is not valid JSON'
  }
}
