// Model references: `<id>` or `<id>:<suffix>`. Ids may contain colons themselves, so what is known decides.
import { ApiError } from '../errors.ts'
import type { Policy } from './names.ts'

/** What a suffix says about who may answer. */
export type Pin =
  | { kind: 'self' }
  | { kind: 'policy'; policy: Policy }
  | { kind: 'provider'; name: string }
  | { kind: 'node'; name: string }

export interface ModelRef {
  /** The public model id, suffix removed. */
  model: string
  pin?: Pin
}

/** What the gateway knows at this moment. */
export interface KnownNames {
  isModel(id: string): boolean
  isProvider(name: string): boolean
  isNode(name: string): boolean
}

/** Longer than any id there is; what is kept for each id in use is kept for little. */
const maxLength = 512

/** Parses what a client wrote as `model`. An exact known id wins; else the part after the last colon must be a known suffix. */
export function parseModelRef(text: string, known: KnownNames): ModelRef {
  if (text.length > maxLength) {
    const message = `Invalid value for 'model': it is longer than ${maxLength} characters.`
    throw new ApiError('invalid_value', message, { param: 'model' })
  }
  if (known.isModel(text)) return { model: text }
  const colon = text.lastIndexOf(':')
  if (colon === -1) return { model: text }
  const suffix = text.slice(colon + 1)
  const pin = parsePin(suffix, known)
  if (!pin || colon === 0) {
    throw new ApiError(
      'provider_not_found',
      `'${suffix}' in model '${text}' is no provider, no connected node and none of self, fastest, cheapest, preferred.`,
      { param: 'model' },
    )
  }
  return { model: text.slice(0, colon), pin }
}

/** Reads a suffix, or the first segment of `/<name>/v1/…`: reserved words before providers before nodes. */
export function parsePin(name: string, known: KnownNames): Pin | undefined {
  if (name === 'self') return { kind: 'self' }
  if (name === 'fastest' || name === 'cheapest' || name === 'preferred') {
    return { kind: 'policy', policy: name }
  }
  if (known.isProvider(name)) return { kind: 'provider', name }
  if (known.isNode(name)) return { kind: 'node', name }
  return undefined
}

/** The text that parses to this reference. */
export function printModelRef({ model, pin }: ModelRef): string {
  if (!pin) return model
  if (pin.kind === 'self') return `${model}:self`
  return `${model}:${pin.kind === 'policy' ? pin.policy : pin.name}`
}
