import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../../src/errors.ts'
import { type KnownNames, parseModelRef, printModelRef } from '../../../src/routing/model-ref.ts'

const known: KnownNames = {
  isModel: (id) => ['openai/gpt-oss-20b', 'local/llama:7b', 'local/llama', 'a:groq'].includes(id),
  isProvider: (name) => ['groq', 'acme'].includes(name),
  // A node may not join under such names; even if one did, the order of reading would keep it harmless.
  isNode: (name) => ['rack1', 'groq', 'self'].includes(name),
}

describe('parseModelRef', () => {
  it.each([
    ['openai/gpt-oss-20b', { model: 'openai/gpt-oss-20b' }],
    ['unknown/model', { model: 'unknown/model' }],
    [
      'openai/gpt-oss-20b:groq',
      { model: 'openai/gpt-oss-20b', pin: { kind: 'provider', name: 'groq' } },
    ],
    [
      'openai/gpt-oss-20b:rack1',
      { model: 'openai/gpt-oss-20b', pin: { kind: 'node', name: 'rack1' } },
    ],
    ['openai/gpt-oss-20b:self', { model: 'openai/gpt-oss-20b', pin: { kind: 'self' } }],
    [
      'openai/gpt-oss-20b:cheapest',
      { model: 'openai/gpt-oss-20b', pin: { kind: 'policy', policy: 'cheapest' } },
    ],
    // An exact known id wins, though its end looks like a suffix.
    ['local/llama:7b', { model: 'local/llama:7b' }],
    ['a:groq', { model: 'a:groq' }],
    // The split is at the last colon.
    ['local/llama:7b:acme', { model: 'local/llama:7b', pin: { kind: 'provider', name: 'acme' } }],
    ['x/y:free:acme', { model: 'x/y:free', pin: { kind: 'provider', name: 'acme' } }],
  ])('%s', (text, expected) => {
    expect(parseModelRef(text, known)).toEqual(expected)
  })

  it.each(['openai/gpt-oss-20b:nowhere', 'openai/gpt-oss-20b:', ':groq', 'm:GROQ'])(
    'refuses %s',
    (text) => {
      const error = thrown(() => parseModelRef(text, known))
      expect(error).toMatchObject({ code: 'provider_not_found', status: 400, param: 'model' })
    },
  )

  it('prints what it parsed', () => {
    const suffix = fc.constantFrom(
      '',
      ':groq',
      ':acme',
      ':rack1',
      ':self',
      ':fastest',
      ':cheapest',
      ':preferred',
    )
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{1,8}\/[a-z0-9:.-]{1,12}$/), suffix, (id, end) => {
        const text = id + end
        let parsed: ReturnType<typeof parseModelRef>
        try {
          parsed = parseModelRef(text, known)
        } catch (error) {
          return error instanceof ApiError && error.code === 'provider_not_found'
        }
        return printModelRef(parsed) === text
      }),
    )
  })

  it('refuses a name of any length', () => {
    expect(thrown(() => parseModelRef(`${'x'.repeat(600)}:groq`, known))).toMatchObject({
      code: 'invalid_value',
      param: 'model',
    })
  })
})

function thrown(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
