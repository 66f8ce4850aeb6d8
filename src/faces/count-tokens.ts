// POST /v1/messages/count_tokens: how many tokens a request would send.
import { estimateTokens } from '../convert/estimate-tokens.ts'
import { messagesErrorResponse } from '../convert/messages-error.ts'
import { type ConvertedMessages, conversationToResponses } from '../convert/messages-request.ts'
import { checkUrls } from '../egress/request-urls.ts'
import { ApiError, toApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import { parseCountTokensRequest } from '../protocol/messages.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import type { FaceDeps } from './deps.ts'
import { mayRunHere } from './equipment.ts'
import { inClientsWords } from './serve.ts'

/** What would run here is told to the model in words that are not known before: it is not counted. */
function withoutServers(request: ResponsesRequest): ResponsesRequest {
  const { tools, tool_choice: _, ...rest } = request
  const own = tools?.filter((tool) => !mayRunHere(tool)) ?? []
  if (own.length === (tools?.length ?? 0)) return request
  return own.length === 0 ? rest : { ...rest, tools: own }
}

/** Counts for a Messages client: exact where the model's own node can count, else an estimate that says so. */
export async function handleCountTokens(
  http: Request,
  deps: FaceDeps,
  requestId?: string,
): Promise<Response> {
  let converted: ConvertedMessages | undefined
  try {
    const body = parseCountTokensRequest(await readJson(http, deps.maxBodyBytes))
    converted = conversationToResponses(body)
    const request = withoutServers(converted.request)
    checkUrls(request, deps.egress)
    // A model that nobody serves is refused here as it is where it would answer.
    const [candidate] = await deps.plan({ model: request.model, request })
    const counted = candidate && (await deps.countTokens?.(candidate, request, http.signal))
    const headers = new Headers({ 'content-type': 'application/json' })
    if (counted === undefined) {
      headers.set('warning', '199 switchyard "input_tokens is an estimate"')
    }
    if (requestId !== undefined) headers.set('request-id', requestId)
    const input_tokens = counted ?? estimateTokens(request)
    return new Response(JSON.stringify({ input_tokens }), { headers })
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) deps.onError?.(thrown)
    const error = inClientsWords(toApiError(thrown), (param) => converted?.paramOf(param))
    return messagesErrorResponse(error, requestId)
  }
}
