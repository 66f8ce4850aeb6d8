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
  /** The arguments of some function must follow its schema. */
  strictArguments?: boolean
  preferences?: Preferences | undefined
}

/** What this request needs. */
export function wantedOf(request: ResponsesRequest, preferences?: Preferences): Wanted {
  const format: unknown = request.text?.format
  return {
    parts: findParts(request),
    tools: declaresTools(request) && request.tool_choice !== 'none',
    structuredOutput: isObject(format) && format.type === 'json_schema',
    strictArguments: request.tools?.some(({ strict }) => strict === true) === true,
    preferences,
  }
}

/** True where the model may call something; `functions` is Chat's older word for tools. */
export function declaresTools(request: Pick<ResponsesRequest, 'tools'>): boolean {
  const { tools, functions }: { tools?: unknown; functions?: unknown } = request
  return [tools, functions].some((list) => Array.isArray(list) && list.length > 0)
}

/** The needs that `explain` can be asked about, as its options and its query name them. */
export const wantedNames = ['tools', 'images', 'json-schema'] as const

/** What a request with these needs wants; a name that is not known is no need. */
export function wantedByName(has: (name: (typeof wantedNames)[number]) => boolean): Wanted {
  const image: FoundPart = { modality: 'image', type: 'input_image', path: 'input' }
  return {
    parts: has('images') ? [image] : [],
    tools: has('tools'),
    structuredOutput: has('json-schema'),
  }
}
