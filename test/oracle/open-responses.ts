// Checks events and responses against the published Open Responses schema (test/fixtures/golden/openresponses-openapi.json),
// but for the places where that schema contradicts OpenAI's API or itself.
import { readFileSync } from 'node:fs'
import { type Schema, Validator } from '@cfworker/json-schema'

const document: { components: { schemas: Record<string, Schema> } } = JSON.parse(
  readFileSync(new URL('../fixtures/golden/openresponses-openapi.json', import.meta.url), 'utf8'),
)

/** Events that OpenAI's clients want and this schema does not have. */
const extensions = new Set(['response.reasoning_text.delta', 'response.reasoning_text.done'])

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
  if (extensions.has(event.type)) return []
  const name = eventSchemas.get(event.type)
  return name === undefined ? [`no schema for ${event.type}`] : validate(name, event)
}

/** Where a response object breaks ResponseResource. */
export function checkResponseSchema(response: unknown): string[] {
  return validate('ResponseResource', response)
}
