// The response object as it stands before the first token: what was asked for, echoed, with OpenAI's defaults.
import { isObject } from '../protocol/check.ts'
import type { ResponseObject, ResponsesRequest } from '../protocol/responses.ts'

export interface SnapshotOptions {
  id: string
  model: string
  /** Unix time in seconds. */
  createdAt: number
  /** What is true of its record: whether it is kept, what it goes on from. */
  state?: Partial<ResponseObject> | undefined
}

/** The 31 keys for a request that has produced nothing yet. */
export function initialResponse(
  request: ResponsesRequest,
  { id, model, createdAt, state }: SnapshotOptions,
): ResponseObject {
  return {
    id,
    object: 'response',
    created_at: createdAt,
    completed_at: null,
    status: 'in_progress',
    incomplete_details: null,
    error: null,
    model,
    previous_response_id: request.previous_response_id ?? null,
    instructions: request.instructions ?? null,
    output: [],
    tools: (request.tools ?? []).map(echoTool),
    tool_choice: request.tool_choice ?? 'auto',
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    text: {
      format: echoFormat(request.text?.format),
      ...(request.text?.verbosity == null ? {} : { verbosity: request.text.verbosity }),
    },
    reasoning: {
      effort: request.reasoning?.effort ?? null,
      summary: request.reasoning?.summary ?? null,
    },
    truncation: request.truncation ?? 'disabled',
    temperature: request.temperature ?? 1,
    top_p: request.top_p ?? 1,
    presence_penalty: request.presence_penalty ?? 0,
    frequency_penalty: request.frequency_penalty ?? 0,
    top_logprobs: request.top_logprobs ?? 0,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: request.max_tool_calls ?? null,
    // What keeps nothing says so, whatever `store` asked for.
    store: false,
    background: false,
    service_tier:
      request.service_tier == null || request.service_tier === 'auto'
        ? 'default'
        : request.service_tier,
    metadata: request.metadata ?? {},
    safety_identifier: request.safety_identifier ?? null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    usage: null,
    ...state,
  }
}

/** Open Responses wants description, parameters and strict present in the echo of a function tool. */
function echoTool(tool: Record<string, unknown>): Record<string, unknown> {
  if (tool.type === 'mcp') {
    // Credentials are for the server alone: snapshots are shown, and kept.
    const { authorization: _, headers, ...rest } = tool
    return headers === undefined ? rest : { ...rest, headers: null }
  }
  if (tool.type !== 'function') return tool
  return { description: null, parameters: null, strict: null, ...tool }
}

function echoFormat(format: unknown): Record<string, unknown> {
  if (!isObject(format)) return { type: 'text' }
  if (format.type !== 'json_schema') return format
  return { ...format, description: format.description ?? null, strict: format.strict ?? false }
}
