/** A whole JSON object: nothing but white space could still follow. */
export function isCompleteObject(text: string): boolean {
  if (!text.trimEnd().endsWith('}')) return false
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
