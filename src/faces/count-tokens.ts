// POST /v1/messages/count_tokens: how many tokens a request would send.

import { estimateTokens } from '../convert/estimate-tokens.ts'
import { messagesErrorResponse } from '../convert/messages-error.ts'
import { conversationToResponses } from '../convert/messages-request.ts'
import { ApiError, toApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import { parseCountTokensRequest } from '../protocol/messages.ts'
import type { FaceDeps } from './deps.ts'

/** Counts for a Messages client; a count that is an estimate says so in a `warning` header. */
export async function handleCountTokens(
  request: Request,
  deps: FaceDeps,
  requestId?: string,
): Promise<Response> {
  try {
    const body = parseCountTokensRequest(await readJson(request, deps.maxBodyBytes))
    const { request: canonical } = conversationToResponses(body)
    // A model that nobody serves is refused here as it is where it would answer.
    await deps.plan({ model: canonical.model, request: canonical })
    const headers = new Headers({ 'content-type': 'application/json' })
    headers.set('warning', '199 switchyard "input_tokens is an estimate"')
    if (requestId !== undefined) headers.set('request-id', requestId)
    const input_tokens = estimateTokens(canonical)
    return new Response(JSON.stringify({ input_tokens }), { headers })
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) deps.onError?.(thrown)
    return messagesErrorResponse(toApiError(thrown), requestId)
  }
}
