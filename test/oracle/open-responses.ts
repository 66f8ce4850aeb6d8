// Checks events and responses against the published Open Responses schema (test/fixtures/golden/openresponses-openapi.json),
// but for the places where that schema contradicts OpenAI's API or itself.
import { readFileSync } from 'node:fs'
import { type Schema, Validator } from '@cfworker/json-schema'

const document: { components: { schemas: Record<string, Schema> } } = JSON.parse(
  readFileSync(new URL('../fixtures/golden/openresponses-openapi.json', import.meta.url), 'utf8'),
)

/** Events that OpenAI's clients want and this schema does not have. */
const extensions = new Set([
  'response.reasoning_text.delta',
  'response.reasoning_text.done',
  'response.custom_tool_call_input.delta',
  'response.custom_tool_call_input.done',
])

const eventSchemas = new Map<string, string>()
for (const [name, schema] of Object.entries(document.components.schemas)) {
  const type = Reflect.get(Object(schema.properties?.type), 'enum')?.[0]
  if (name.endsWith('StreamingEvent') && typeof type === 'string') eventSchemas.set(type, name)
}

const validators = new Map<string, Validator>()

function validate(name: string, value: unknown): string[] {
  let validator = validators.get(name)
  if (validator === undefined) {
    validator = new Validator({ ...document, $ref: `#/components/schemas/${name}` }, '2020-12')
    validators.set(name, validator)
  }
  const { valid, errors } = validator.validate(value)
  if (valid) return []
  return errors.slice(-3).map((error) => `${name}: ${error.instanceLocation} ${error.error}`)
}

/** Where an event breaks its schema. */
export function checkEventSchema(event: { type: string }): string[] {
  if (extensions.has(event.type) || isForeign(Reflect.get(event, 'item'))) return []
  const name = eventSchemas.get(event.type)
  if (name === undefined) return [`no schema for ${event.type}`]
  const { response } = event as { response?: unknown }
  return validate(name, response === undefined ? event : { ...event, response: known(response) })
}

/** Where a response object breaks ResponseResource. */
export function checkResponseSchema(response: unknown): string[] {
  return validate('ResponseResource', known(response))
}

/** Items of agents' tools, which this schema's closed unions do not have; our own schema has them. */
const foreignItems = new Set([
  'custom_tool_call',
  'local_shell_call',
  'shell_call',
  'apply_patch_call',
  'tool_search_call',
])

function isForeign(item: unknown): boolean {
  return foreignItems.has(String(Reflect.get(Object(item), 'type')))
}

/** A response without the tools and calls that this schema does not have. */
function known(response: unknown): unknown {
  const { output, tools, tool_choice, ...rest } = Object(response)
  const isFunction = (tool: unknown) => Reflect.get(Object(tool), 'type') === 'function'
  const { type, tools: allowed } = Object(tool_choice)
  const choices: Record<string, unknown> = {
    undefined: tool_choice,
    function: tool_choice,
    allowed_tools: {
      ...tool_choice,
      tools: Array.isArray(allowed) ? allowed.filter(isFunction) : [],
    },
  }
  return {
    ...rest,
    tool_choice: choices[String(type)] ?? 'auto',
    output: Array.isArray(output) ? output.filter((item) => !isForeign(item)) : output,
    tools: Array.isArray(tools) ? tools.filter(isFunction) : tools,
  }
}
