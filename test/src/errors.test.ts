// The one error family: what an error keeps when it is told in other words, and what its words may hold.
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../src/errors.ts'

const full = new ApiError('rate_limit_exceeded', 'Slower.', {
  param: 'input[1]',
  cause: new Error('why'),
  status: 429,
  wireCode: 'tpm',
  retryable: true,
  retryAfter: 7,
  unreached: true,
  allow: ['POST'],
})

describe('in other words', () => {
  it('all else stays', () => {
    expect({ ...full.with({}), message: full.message, cause: full.cause }).toEqual({
      ...full,
      message: full.message,
      cause: full.cause,
    })
    const other = full.with({ param: 'messages[1]', message: 'Slower, please.' })
    expect(other.toBody().error).toEqual({
      message: 'Slower, please.',
      type: 'rate_limit_error',
      param: 'messages[1]',
      code: 'tpm',
    })
    expect(other.toResponse().headers.get('retry-after')).toBe('7')
    expect(other.toResponse().headers.get('allow')).toBe('POST')
  })

  it('a cause that must not be told is gone', () => {
    expect(full.with({ cause: undefined }).cause).toBeUndefined()
  })
})

describe('text', () => {
  it.each([
    ['a long message', new ApiError('invalid_value', `${'x'.repeat(3999)}😀😀`)],
    ['a name that was cut', new ApiError('invalid_value', `'${'x😀'.slice(0, 2)}' not found.`)],
    ['a long path', new ApiError('invalid_value', '', { param: `${'x'.repeat(499)}😀` })],
  ])('%s holds no half of a character', (_, error) => {
    const { message, param } = error.toBody().error
    expect(message + param).not.toMatch(/\p{Surrogate}/u)
    expect(message + param).toContain('\uFFFD')
  })
})
