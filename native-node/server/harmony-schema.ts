// JSON schema → the TypeScript that gpt-oss was trained to read, rule by rule as OpenAI's harmony library prints it,
// oddities included (a nested object's description appears twice): the model knows these bytes.
// https://github.com/openai/harmony (src/encoding.rs, json_schema_to_typescript)
import { ApiError } from '../../src/errors.ts'

export type JsonObject = { [key: string]: unknown }

/** True for a JSON object (no array, no null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A schema as a TypeScript type. Top level: indent ''. */
export function schemaToTypeScript(schema: unknown, indent: string): string {
  if (!isObject(schema)) return 'any'
  if (Array.isArray(schema.oneOf)) {
    return schema.oneOf
      .map((variant) => `\n${variantLine(variant, indent, described(variant), JSON.stringify)}`)
      .join('')
  }
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((type) => typeof type === 'string').map(typeName)
    if (types.length > 0) return types.join(' | ')
  }
  switch (schema.type) {
    case 'object':
      return objectType(schema, indent)
    case 'string':
      return enumType(schema) ?? 'string'
    case 'number':
    case 'integer':
      return 'number'
    case 'boolean':
      return 'boolean'
    case 'array':
      return 'items' in schema ? `${schemaToTypeScript(schema.items, indent)}[]` : 'Array<any>'
    default:
      return 'any'
  }
}

function typeName(type: string): string {
  return type === 'integer' ? 'number' : type
}

function enumType(schema: JsonObject): string | undefined {
  if (!Array.isArray(schema.enum)) return undefined
  const values = schema.enum.filter((value) => typeof value === 'string')
  return values.length > 0 ? values.map((value) => `"${value}"`).join(' | ') : undefined
}

function objectType(schema: JsonObject, indent: string): string {
  let out = ''
  if (typeof schema.description === 'string') out += `${indent}// ${schema.description}\n`
  out += '{\n'
  const required = Array.isArray(schema.required) ? schema.required : []
  const properties = isObject(schema.properties) ? schema.properties : {}
  for (const [key, value] of Object.entries(properties)) {
    out += property(key, value, required.includes(key), indent)
  }
  return `${out}${indent}}`
}

function property(key: string, schema: unknown, required: boolean, indent: string): string {
  if (!isObject(schema)) return `${indent}${key}${required ? '' : '?'}: any,\n`
  let out = ''
  if (typeof schema.title === 'string') out += `${indent}// ${schema.title}\n${indent}//\n`
  const variants = Array.isArray(schema.oneOf) ? schema.oneOf : undefined
  // A oneOf that is no list still hides what would stand beside the type.
  const plain = !('oneOf' in schema)
  if (typeof schema.description === 'string' && plain) {
    out += `${indent}// ${schema.description}\n`
  }
  if (Array.isArray(schema.examples) && schema.examples.length > 0) {
    out += `${indent}// Examples:\n`
    for (const example of schema.examples) {
      if (typeof example === 'string') out += `${indent}// - "${example}"\n`
    }
  }
  const name = `${indent}${key}${required ? '' : '?'}:`
  if (variants) return out + oneOfProperty(schema, variants, name, indent)
  const comment = plain ? defaultText(schema) : undefined
  const type = nullable(schema, schemaToTypeScript(schema, `${indent}    `))
  return `${out}${name} ${type},${comment === undefined ? '' : ` // ${comment}`}\n`
}

function oneOfProperty(
  schema: JsonObject,
  variants: unknown[],
  name: string,
  indent: string,
): string {
  let out = ''
  const own = described(schema)
  // Said once: above the name, unless the first variant says the same.
  const above = own !== undefined && own !== described(variants[0])
  if (above) out += `${indent}// ${own}\n`
  const comment = defaultText(schema)
  if (comment !== undefined) out += `${indent}// ${comment}\n`
  out += `${name}\n`
  for (const [index, variant] of variants.entries()) {
    const said = described(variant)
    const shown = (index === 0 && above) || said === own ? undefined : said
    out += `${variantLine(variant, indent, shown)}\n`
  }
  return `${out}${indent},\n`
}

function described(schema: unknown): string | undefined {
  return isObject(schema) && typeof schema.description === 'string' ? schema.description : undefined
}

/** `quoteEnum`: how the default of an enum is written, which differs by where the oneOf stands. */
function variantLine(
  variant: unknown,
  indent: string,
  description: string | undefined,
  quoteEnum?: (value: string) => string,
): string {
  const type = schemaToTypeScript(variant, `${indent}   `)
  if (!isObject(variant)) return `${indent} | ${type}`
  const comments = [description, defaultText(variant, quoteEnum)].filter(
    (comment) => comment !== undefined,
  )
  const comment = comments.length > 0 ? ` // ${comments.join(' ')}` : ''
  return `${indent} | ${nullable(variant, type)}${comment}`
}

function nullable(schema: JsonObject, type: string): string {
  return schema.nullable === true && !type.includes('null') ? `${type} | null` : type
}

function defaultText(schema: JsonObject, quoteEnum = (value: string) => value): string | undefined {
  if (!('default' in schema)) return undefined
  const value = schema.default
  if (typeof value !== 'string') return `default: ${jsonText(value)}`
  return Array.isArray(schema.enum) && schema.enum.length > 0
    ? `default: ${quoteEnum(value)}`
    : `default: "${value}"`
}

/** JSON with numbers as Rust's serde_json writes them: `1e-6`, where JavaScript says 0.000001. */
function jsonText(value: unknown): string {
  if (typeof value === 'number') return numberText(value)
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const entries = Object.entries(value)
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${jsonText(item)}`).join(',')}}`
}

function numberText(value: number): string {
  if (Number.isSafeInteger(value)) return String(value)
  const scientific = value.toExponential().replace('e+', 'e')
  const exponent = Number(scientific.split('e')[1])
  if (exponent < -5 || exponent >= 16) return scientific
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

const maxDepth = 32
const maxNodes = 1000

/**
 * Makes a client's schema printable: local `$ref`s are put in place (a recursive one becomes `any`) and
 * `anyOf: [X, null]` becomes X with `nullable`, both of which the rules above would print as `any`.
 * Throws ApiError where the schema is deeper than 32 levels or grows past 1,000 nodes.
 */
export function inlineSchema(schema: unknown, param: string): unknown {
  let nodes = 0
  const visit = (value: unknown, depth: number, open: readonly string[]): unknown => {
    if (!isObject(value)) return value
    if (++nodes > maxNodes) {
      throw new ApiError('invalid_value', `The schema has more than ${maxNodes} nodes.`, { param })
    }
    if (depth > maxDepth) {
      throw new ApiError('invalid_value', `The schema is nested deeper than ${maxDepth} levels.`, {
        param,
      })
    }
    const { $ref: ref, ...rest } = value
    if (typeof ref === 'string') {
      const target = open.includes(ref) ? undefined : resolve(schema, ref)
      return isObject(target) ? visit({ ...target, ...rest }, depth + 1, [...open, ref]) : rest
    }
    const out = foldNullable(value)
    if (isObject(out.properties)) {
      const entries = Object.entries(out.properties)
      out.properties = Object.fromEntries(
        entries.map(([key, item]) => [key, visit(item, depth + 1, open)]),
      )
    }
    if ('items' in out) out.items = visit(out.items, depth + 1, open)
    if (Array.isArray(out.oneOf)) {
      out.oneOf = out.oneOf.map((variant) => visit(variant, depth + 1, open))
    }
    // X of `anyOf: [X, null]` may be a reference itself.
    return typeof out.$ref === 'string' ? visit(out, depth + 1, open) : out
  }
  return visit(schema, 0, [])
}

function foldNullable(schema: JsonObject): JsonObject {
  if (!Array.isArray(schema.anyOf) || schema.anyOf.length !== 2) return { ...schema }
  const other = schema.anyOf.find((variant) => !isObject(variant) || variant.type !== 'null')
  const hasNull = schema.anyOf.some((variant) => isObject(variant) && variant.type === 'null')
  if (!hasNull || !isObject(other)) return { ...schema }
  const { anyOf: _, ...rest } = schema
  return { ...other, ...rest, nullable: true }
}

function resolve(root: unknown, ref: string): unknown {
  if (!ref.startsWith('#')) return undefined
  let at: unknown = root
  for (const part of ref.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (!isObject(at) || !Object.hasOwn(at, key)) return undefined
    at = at[key]
  }
  return at
}
