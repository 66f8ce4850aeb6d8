// What a request needs of the place that answers it.
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { type FoundPart, findParts } from './modalities.ts'
import type { Preferences } from './preferences.ts'

export interface Wanted {
  /** Parts of the input that are not text. */
  parts?: readonly FoundPart[]
  /** Functions are declared. */
  tools?: boolean
  /** The answer must follow a JSON schema. */
  structuredOutput?: boolean
  preferences?: Preferences | undefined
}

/** What this request needs. */
export function wantedOf(request: ResponsesRequest, preferences?: Preferences): Wanted {
  const format: unknown = request.text?.format
  return {
    parts: findParts(request),
    tools: (request.tools?.length ?? 0) > 0 && request.tool_choice !== 'none',
    structuredOutput: isObject(format) && format.type === 'json_schema',
    preferences,
  }
}
