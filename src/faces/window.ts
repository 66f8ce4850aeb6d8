// What may be asked about a request without an answer to it: how many tokens it is, and how to go on with less.
// https://platform.openai.com/docs/api-reference/responses
import { compactionTurn, keptItems, summaryIn, summaryItem } from '../convert/compaction.ts'
import { estimateTokens } from '../convert/estimate-tokens.ts'
import { checkUrls } from '../egress/request-urls.ts'
import { ApiError, toApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import { isObject } from '../protocol/check.ts'
import { parseResponsesRequest, type ResponsesRequest } from '../protocol/responses.ts'
import type { FaceDeps } from './deps.ts'
import { answerResponses, unsealed } from './responses.ts'
import { listOf, openTurn } from './turn.ts'

/** `POST /v1/responses/input_tokens`: exact where the model's own node can count, else an estimate that says so. */
export function handleInputTokens(request: Request, deps: FaceDeps): Promise<Response> {
  return answered(deps, async () => {
    const window = await windowOf(request, deps)
    checkUrls(window, deps.egress)
    const [candidate] = await deps.plan({ model: window.model, request: window })
    const counted = candidate && (await deps.countTokens?.(candidate, window, request.signal))
    const input_tokens = counted ?? estimateTokens(window)
    return Response.json(
      { object: 'response.input_tokens', input_tokens },
      counted === undefined
        ? { headers: { warning: '199 switchyard "input_tokens is an estimate"' } }
        : {},
    )
  })
}

/** `POST /v1/responses/compact`: a window of items that stands for the whole conversation and is given as `input` again. */
export function handleCompact(request: Request, deps: FaceDeps): Promise<Response> {
  return answered(deps, async () => {
    const window = await windowOf(request, deps)
    const items = listOf(window.input)
    if (items.length === 0) {
      throw new ApiError('missing_required_parameter', "Missing required parameter: 'input'.", {
        param: 'input',
      })
    }
    const { state: _, ...stateless } = deps
    const answer = await answerResponses(compactionTurn(window), request, stateless)
    if (!answer.ok) return answer
    const response: unknown = await answer.json()
    const { newId } = deps
    const ids = { compaction: newId('cmp'), message: newId('msg') }
    const summary = await summaryItem(summaryIn(response), ids, deps.seal)
    const body = {
      id: newId('resp'),
      object: 'response.compaction',
      created_at: Math.floor(deps.now() / 1000),
      output: [...keptItems(items).map((item) => outputItem(item, deps)), summary],
      usage: isObject(response) ? response.usage : null,
    }
    return Response.json(body, { headers: kept(answer.headers) })
  })
}

/** The request with everything that its model would be sent. */
async function windowOf(http: Request, deps: FaceDeps): Promise<ResponsesRequest> {
  const body = await readJson(http, deps.maxBodyBytes)
  if (!isObject(body)) {
    throw new ApiError('invalid_request', 'The request body must be a JSON object.')
  }
  const asked = parseResponsesRequest({ ...body, input: body.input ?? [], background: false })
  const { request, before } = await openTurn({ ...asked, store: false }, deps)
  const {
    previous_response_id: _,
    conversation: _c,
    ...whole
  } = await unsealed(request, before, deps.seal)
  return whole
}

async function answered(deps: FaceDeps, answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer()
  } catch (thrown) {
    const error = toApiError(thrown)
    if (error.status >= 500) deps.onError?.(thrown)
    return deps.errorResponse?.(error) ?? error.toResponse()
  }
}

function outputItem(item: Record<string, unknown>, { newId }: FaceDeps): Record<string, unknown> {
  const { content } = item
  const parts = typeof content === 'string' ? [{ type: 'input_text', text: content }] : content
  const id = typeof item.id === 'string' && item.id !== '' ? item.id : newId('msg')
  return { ...item, id, status: 'completed', content: parts }
}

/** Who wrote the summary, and after how many tries. */
function kept(headers: Headers): Headers {
  return new Headers([...headers].filter(([name]) => name.startsWith('x-switchyard-')))
}
