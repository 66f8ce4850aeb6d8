// A value is looked at by the fields that it has; what zod says of the whole is the measure.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chatRequestSchema, parseChatRequest } from '../../src/protocol/chat.ts'
import { parseResponsesRequest, responsesRequestSchema } from '../../src/protocol/responses.ts'

const text = fc.constantFrom('', 'x', 'auto', 'user', 'function', 'message', 'input_text', 'high')
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.boolean(),
    fc.constantFrom(null, 0, 1, -3, 0.5, 200),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(
      fc.constantFrom('type', 'role', 'content', 'text', 'name', 'effort', 'format', 'other'),
      tie('any'),
      { maxKeys: 4 },
    ),
  ),
})).any

const cases = [
  { name: 'chat', schema: chatRequestSchema, parse: parseChatRequest, needed: 'messages' },
  {
    name: 'responses',
    schema: responsesRequestSchema,
    parse: parseResponsesRequest,
    needed: 'input',
  },
]

describe.each(cases)('the check of a $name request', ({ schema, parse, needed }) => {
  it('takes what zod takes and refuses what it refuses', () => {
    const keys = fc.constantFrom('unknown', ...Object.keys(schema.shape))
    const fields = fc.dictionary(keys, value, { maxKeys: 4 })
    const valid = { model: 'm', [needed]: [{ role: 'user', content: 'hi' }] }
    let taken = 0
    fc.assert(
      fc.property(fields, fc.boolean(), (given, complete) => {
        const body = complete ? { ...given, ...valid } : given
        let passes = true
        try {
          expect(parse(body)).toBe(body)
        } catch {
          passes = false
        }
        if (passes) taken++
        expect(passes).toBe(schema.safeParse(body).success)
      }),
      { numRuns: 500 },
    )
    expect(taken).toBeGreaterThan(20)
  })
})
