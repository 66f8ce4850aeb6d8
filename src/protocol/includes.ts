// What `include` may ask for. https://platform.openai.com/docs/api-reference/responses/create
import type { ResponsesRequest } from './responses.ts'

/** Value → what is done for it. */
export const includes: Readonly<Record<string, string>> = {
  'reasoning.encrypted_content': 'reasoning comes sealed as well, to be sent back in the next turn',
  'message.output_text.logprobs': 'asked of the model',
  'web_search_call.results': 'taken; results are not given',
  'web_search_call.action.sources': 'the URLs that a search has found',
  'file_search_call.results': 'taken; there are no such items',
  'code_interpreter_call.outputs': 'given in any case',
  'computer_call_output.output.image_url': 'taken; there are no such items',
  'message.input_image.image_url': 'taken; input items are kept with it in any case',
}

/** The places of values that nobody knows, for the `warning` header. */
export function unknownIncludes({ include }: ResponsesRequest): string[] {
  return (include ?? []).flatMap((value, index) =>
    Object.hasOwn(includes, value) ? [] : [`include[${index}]`],
  )
}

/** The client wants reasoning that it can send back without reading it. */
export function wantsSealedReasoning({ include }: ResponsesRequest): boolean {
  return include?.includes('reasoning.encrypted_content') ?? false
}
