// A client that was moved by half from one API to the other must hear of it: sent on, such a field would be lost.
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../src/errors.ts'
import { parseChatRequest } from '../../src/protocol/chat.ts'
import { chatFields, responsesFields, sortFields } from '../../src/protocol/fields.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'

function refusalOf(work: () => unknown): ApiError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof ApiError) return thrown
  }
  throw new Error('nothing was refused')
}

describe('a field of the other API', () => {
  it.each([
    ['messages', [{ role: 'user', content: 'hi' }], "'input'"],
    ['response_format', { type: 'json_object' }, "'text.format'"],
    ['max_tokens', 5, "'max_output_tokens'"],
    ['max_completion_tokens', 5, "'max_output_tokens'"],
    ['reasoning_effort', 'low', "'reasoning.effort'"],
    ['verbosity', 'low', "'text.verbosity'"],
    ['functions', [{ name: 'f' }], "'tools'"],
    ['function_call', 'auto', "'tool_choice'"],
  ])('%s is refused in Responses, with its name there', (field, value, name) => {
    const error = refusalOf(() => parseResponsesRequest({ model: 'm', [field]: value }))
    expect(error).toMatchObject({ status: 400, code: 'unsupported_parameter', param: field })
    expect(error.message).toContain(`In the Responses API it is ${name}`)
  })

  it.each([
    ['input', 'hi', "In Chat Completions it is 'messages'."],
    ['instructions', 'Be brief.', 'In Chat Completions it is'],
    ['text', { verbosity: 'low' }, 'In Chat Completions it is'],
    ['max_output_tokens', 5, "In Chat Completions it is 'max_completion_tokens'."],
    ['previous_response_id', 'resp_1', 'POST /v1/responses has it.'],
    ['conversation', 'conv_1', 'POST /v1/responses has it.'],
    ['background', true, 'POST /v1/responses has it.'],
    ['max_tool_calls', 1, 'POST /v1/responses has it.'],
  ])('%s is refused in Chat, with what to do', (field, value, advice) => {
    const body = { model: 'm', messages: [{ role: 'user', content: 'hi' }], [field]: value }
    const error = refusalOf(() => parseChatRequest(body))
    expect(error).toMatchObject({ status: 400, code: 'unsupported_parameter', param: field })
    expect(error.message).toContain(`Unsupported parameter: '${field}'. ${advice}`)
  })

  it('is nobody’s fault while it says nothing: null, false or empty', () => {
    const messages = [{ role: 'user', content: 'hi' }]
    const chat = { model: 'm', messages, background: false, instructions: '', text: {}, input: [] }
    expect(parseChatRequest(chat)).toBe(chat)
    const none = { response_format: null, max_tokens: null, functions: [], reasoning_effort: '' }
    const responses = { model: 'm', input: 'hi', ...none }
    expect(parseResponsesRequest(responses)).toBe(responses)
  })
})

describe('a field that nobody here knows', () => {
  const odd = { temperatur: 0.2, chat_template_kwargs: { a: 1 }, frob: null, stop: 'x', min_p: 0.1 }

  it('is named where the native engine answers, as it does nothing with it', () => {
    expect(sortFields(odd, responsesFields, 'engine').dropped).toEqual([
      'temperatur',
      'chat_template_kwargs',
    ])
    expect(sortFields({ ...odd, repetition_penalty: 1.1 }, chatFields, 'engine').dropped).toEqual([
      'temperatur',
      'chat_template_kwargs',
    ])
  })

  it('goes up to a provider without a word', () => {
    const { passed, dropped } = sortFields(odd, responsesFields, 'chat')
    expect(dropped).toEqual([])
    expect(passed).toMatchObject({ temperatur: 0.2, chat_template_kwargs: { a: 1 } })
  })
})
