// `generate: false` on a socket: everything that a turn does but asking a model. What was sent is checked, remembered and
// has a response id for the next turn to go on from.
import type { Candidate, FaceDeps } from './deps.ts'
import { answerResponses } from './responses.ts'
import type { Client } from './serve.ts'

/** Answers with a response that is complete and empty. */
export function warmUp(
  body: Record<string, unknown>,
  client: Client,
  deps: FaceDeps,
): Promise<Response> {
  return answerResponses(body, client, {
    ...deps,
    async plan(context) {
      const [first] = await deps.plan(context)
      return [{ ...nobody, ...(first === undefined ? {} : { model: first.model }) }]
    },
    send: async () => new Response(nothing, { headers: { 'content-type': 'text/event-stream' } }),
  })
}

const nobody: Candidate = {
  kind: 'engine',
  name: 'self',
  model: '',
  dialects: ['chat'],
  lostCode: 'server_error',
  // Of an answer that is empty nothing can be demanded.
  structured: { schema: 'guaranteed', calls: 'guaranteed', exempt: true },
}

const nothing = `data: ${JSON.stringify({
  choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
  usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
})}\n\ndata: [DONE]\n\n`
