// The values of `format` that are enforced while a string is written, as patterns: those whose form is fixed.
// https://www.rfc-editor.org/rfc/rfc3339#section-5.6 https://www.rfc-editor.org/rfc/rfc4122#section-3

const date = '\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])'
const time =
  '([01]\\d|2[0-3]):[0-5]\\d:([0-5]\\d|60)(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)'
const byte = '(\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])'

/** Patterns by the name of their format; each is in the subset of grammar-pattern.ts. */
export const formatPatterns: ReadonlyMap<string, string> = new Map([
  ['date', `^${date}$`],
  ['time', `^${time}$`],
  ['date-time', `^${date}T${time}$`],
  ['uuid', '^[\\da-fA-F]{8}(-[\\da-fA-F]{4}){3}-[\\da-fA-F]{12}$'],
  ['ipv4', `^${byte}(\\.${byte}){3}$`],
])
