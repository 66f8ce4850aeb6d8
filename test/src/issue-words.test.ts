// Refusals are read by people who have never heard of zod.
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../src/errors.ts'
import { parseJson } from '../../src/json.ts'
import { parseChatRequest } from '../../src/protocol/chat.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'

const messages = [{ role: 'user', content: 'hi' }]

function refusalOf(work: () => unknown): { message: string; param: string | null } {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof ApiError) return { message: thrown.message, param: thrown.param }
    throw thrown
  }
  throw new Error('nothing was refused')
}

describe('what a refusal of a field says', () => {
  it.each([
    [{ messages: [] }, 'messages', 'expected at least 1 item, received 0'],
    [{ messages: null }, 'messages', 'expected an array, received null'],
    [{ messages: ['hi'] }, 'messages[0]', "expected a message, received 'hi'"],
    [{ model: '' }, 'model', 'expected at least 1 character, received 0'],
    [{ temperature: 100 }, 'temperature', 'expected at most 2, received 100'],
    [{ temperature: '0.5' }, 'temperature', "expected a number, received '0.5'"],
    [{ max_tokens: 1.5 }, 'max_tokens', 'expected a whole number, received 1.5'],
    [{ max_tokens: 0 }, 'max_tokens', 'expected at least 1, received 0'],
    [{ stream: 'yes' }, 'stream', "expected true or false, received 'yes'"],
    [{ stop: 5 }, 'stop', 'expected a string or an array, received 5'],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', 'expected at most 4 items, received 5'],
    [{ response_format: 'json' }, 'response_format', "expected a response format, received 'json'"],
    [
      { tool_choice: 'always' },
      'tool_choice',
      "expected one of 'none', 'auto', 'required', received 'always'",
    ],
    [
      { metadata: { a: 'x'.repeat(513) } },
      'metadata.a',
      'expected at most 512 characters, received 513',
    ],
    [
      { messages: [{ role: 'user', content: null }] },
      'messages[0].content',
      'expected a string or an array, received null',
    ],
  ])('chat %j', (fields, param, reason) => {
    expect(refusalOf(() => parseChatRequest({ model: 'm', messages, ...fields }))).toEqual({
      param,
      message: `Invalid value for '${param}': ${reason}.`,
    })
  })

  it('tells of both kinds that an input may have, and of a tool within a namespace', () => {
    expect(refusalOf(() => parseResponsesRequest({ model: 'm', input: {} })).message).toContain(
      'expected a string or an array, received an object',
    )
    const tools = [{ type: 'namespace', name: 'n', tools: [{ type: 'function', name: 5 }] }]
    expect(refusalOf(() => parseResponsesRequest({ model: 'm', input: 'x', tools }))).toEqual({
      param: 'tools[0].tools[0].name',
      message: "Invalid value for 'tools[0].tools[0].name': expected a string, received 5.",
    })
  })

  it('does not repeat a long text', () => {
    const { message } = refusalOf(() =>
      parseChatRequest({ model: 'm', messages, temperature: 'x'.repeat(100) }),
    )
    expect(message).toBe("Invalid value for 'temperature': expected a number, received a string.")
  })
})

describe('what a refusal of a body says', () => {
  it('tells an empty body from a broken one, and where that breaks', () => {
    expect(refusalOf(() => parseJson(' ')).message).toMatch(/it is empty\.$/)
    expect(refusalOf(() => parseJson('{"a":1,}')).message).toMatch(
      /it is not valid JSON \(.*position 7.*\)\.$/,
    )
  })
})
