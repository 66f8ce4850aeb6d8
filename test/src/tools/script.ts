// A scripted model: turn after turn of a Chat upstream, streamed where that is asked for.
import { callChunk, chunk, sse } from '../support.ts'
import { json, type Script, streamed } from '../upstream.ts'

export type Json = Record<string, unknown>

export const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }

export interface ScriptedCall {
  name: string
  /** An object, or the arguments' very text. */
  args: unknown
}

/** A model's turn: calls, or a text. */
export function turn(answer: string | ScriptedCall[], reasoning = ''): object[] {
  const head = reasoning === '' ? [] : [chunk({ reasoning })]
  const calls = typeof answer === 'string' ? [] : answer
  const tool_calls = calls.map(({ name, args }, index) => ({
    index,
    id: `c${Math.random()}`,
    type: 'function',
    function: { name, arguments: typeof args === 'string' ? args : JSON.stringify(args) },
  }))
  const body =
    typeof answer === 'string' ? [chunk({ content: answer })] : [callChunk(...tool_calls)]
  const finish = typeof answer === 'string' ? 'stop' : 'tool_calls'
  return [...head, ...body, chunk({}, finish), { choices: [], usage }]
}

/** The same as one completion. */
export function completion(chunks: readonly object[]): object {
  const message: Json = { role: 'assistant', content: null }
  let finish_reason = 'stop'
  for (const each of chunks) {
    const choice = (each as { choices: { delta: Json; finish_reason: string | null }[] }).choices[0]
    if (choice === undefined) continue
    Object.assign(message, choice.delta)
    finish_reason = choice.finish_reason ?? finish_reason
  }
  const choices = [{ index: 0, message, finish_reason }]
  return { id: 'x', object: 'chat.completion', choices, usage }
}

/** Answers turn after turn. */
export function model(turns: readonly (readonly object[])[]): Script {
  let at = 0
  return (call) => {
    const chunks = turns[at++] ?? turn('No more turns.')
    return call.stream ? streamed([sse([...chunks, '[DONE]'])]) : json(completion(chunks))
  }
}

/** Types of a response's items. */
export const kinds = ({ output }: Json) => (output as Json[]).map(({ type }) => type)
