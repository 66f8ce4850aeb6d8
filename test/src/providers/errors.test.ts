import { describe, expect, it } from 'vitest'
import { inBandError, isErrorBody, upstreamError } from '../../../src/providers/errors.ts'

const now = Date.UTC(2026, 0, 1)

function mapped(status: number, body: unknown, headers: Record<string, string> = {}, more = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return upstreamError({ place: 'acme', status, headers: new Headers(headers), text, now, ...more })
}

describe('upstreamError', () => {
  it.each([
    [
      'OpenAI',
      {
        error: { message: 'bad top_p', type: 'invalid_request_error', param: 'top_p', code: 'bad' },
      },
      'bad top_p',
    ],
    [
      'top level',
      { message: 'bad top_p', type: 'invalid_request_error', param: 'top_p', code: 'bad' },
      'bad top_p',
    ],
    [
      'status_code',
      { status_code: 400, error: { message: 'bad top_p', param: 'top_p', code: 'bad' } },
      'bad top_p',
    ],
    ['string', { error: 'bad top_p' }, 'bad top_p'],
    ['detail', { detail: 'bad top_p' }, 'bad top_p'],
    [
      'detail list',
      { detail: [{ loc: ['body', 'top_p'], msg: 'too big' }] },
      'body.top_p: too big',
    ],
    ['array', [{ error: { message: 'bad top_p', code: 400 } }], 'bad top_p'],
    ['plain text', 'bad\n top_p', 'bad top_p'],
  ])('reads the shape: %s', (_, body, message) => {
    expect(mapped(400, body)).toMatchObject({
      status: 400,
      code: 'invalid_request',
      message,
      retryable: false,
    })
  })

  it("passes a client's fault on with status, param and code", () => {
    const error = mapped(422, { error: { message: 'no', param: 'tools[0]', code: 'bad_tool' } })
    expect(error.status).toBe(422)
    expect(error.toBody().error).toMatchObject({
      param: 'tools[0]',
      code: 'bad_tool',
      type: 'invalid_request_error',
    })
  })

  it.each([401, 403, 402])(
    'turns a refusal of our key (%i) into provider_auth, never into a 401',
    (status) => {
      const error = mapped(status, { error: 'Invalid key sk-abcdefghijklmnop' })
      expect(error).toMatchObject({ code: 'provider_auth', status: 502, retryable: true })
      expect(error.message).not.toContain('abcdefghijklmnop')
    },
  )

  it('tells a pass-through caller that its own key was refused', () => {
    expect(
      mapped(401, { error: 'Invalid username or password.' }, {}, { clientKey: true }),
    ).toMatchObject({
      code: 'invalid_api_key',
      status: 401,
      retryable: false,
    })
  })

  it('keeps 429 with its Retry-After', () => {
    const error = mapped(
      429,
      { error: { message: 'slow down', code: 'dynamic_request_limited' } },
      { 'retry-after': '7' },
    )
    expect(error).toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
      retryAfter: 7,
      retryable: true,
    })
    expect(error.toResponse().headers.get('retry-after')).toBe('7')
  })

  it.each([
    [500, 'upstream_error', 502],
    [503, 'upstream_error', 502],
    [529, 'upstream_error', 502],
    [504, 'upstream_timeout', 504],
    [408, 'upstream_timeout', 504],
    [302, 'upstream_error', 502],
  ])('%i becomes %s and may go to another candidate', (status, code, ours) => {
    expect(mapped(status, '')).toMatchObject({ code, status: ours, retryable: true })
  })

  it('takes the title of an HTML page and none of its markup', () => {
    const error = mapped(
      502,
      '<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>x</h1>',
    )
    expect(error.message).toBe('acme failed: 502 Bad Gateway')
  })

  it.each([
    { error: { code: 'context_length_exceeded', message: 'x' } },
    {
      error: {
        message:
          "This model's maximum context length is 131072 tokens. However, you requested 200000.",
      },
    },
    { message: 'Please reduce the length of the messages.', code: 'wrong_api_format' },
  ])('recognises a prompt that is too long: %j', (body) => {
    expect(mapped(400, body)).toMatchObject({
      code: 'context_length_exceeded',
      status: 400,
      retryable: false,
    })
  })

  it('lets another candidate try where the model failed and not the client', () => {
    const body = {
      error: {
        message: 'Failed to call a function.',
        code: 'tool_use_failed',
        failed_generation: '{',
      },
    }
    expect(mapped(400, body, {}, { codes: { tool_use_failed: 'retry' } }).retryable).toBe(true)
    expect(mapped(400, body).retryable).toBe(false)
  })

  it.each([
    ['429 of an account that cannot pay', 429, '1113', 'provider_auth', 502],
    ['400 for a model it does not have', 400, '1211', 'model_not_found', 404],
    ['429 for a server that is overloaded', 429, '1305', 'upstream_error', 502],
  ])("knows a provider's own codes: %s", (_, status, code, ours, oursStatus) => {
    const codes = { 1113: 'account', 1211: 'no_model', 1305: 'overloaded' }
    expect(mapped(status, { error: { code, message: 'x' } }, {}, { codes })).toMatchObject({
      code: ours,
      status: oursStatus,
      retryable: true,
    })
  })

  it('knows a message by its beginning where there is no code', () => {
    const codes = { 'Model not supported by provider': 'no_model' } as const
    const body = { error: 'Model not supported by provider together' }
    expect(mapped(400, body, {}, { codes })).toMatchObject({
      code: 'model_not_found',
      retryable: true,
    })
    const other = { error: 'The Model not supported by provider' }
    expect(mapped(400, other, {}, { codes })).toMatchObject({ code: 'invalid_request' })
  })

  it("tells a client of its own account's faults as they are", () => {
    const codes = { 1113: 'account' }
    const own = { codes, clientKey: true }
    expect(mapped(429, { error: { code: '1113', message: 'pay' } }, {}, own)).toMatchObject({
      status: 429,
      wireCode: '1113',
      message: 'pay',
    })
  })

  it('takes a flagged prompt for a fault of the prompt, not of the key', () => {
    const body = { error: { code: 403, message: 'flagged', metadata: { reasons: ['violence'] } } }
    expect(mapped(403, body)).toMatchObject({ code: 'content_filter', status: 400 })
  })

  it('recognises a prompt that is too long under a 500', () => {
    const body = { error: { code: 500, message: 'Context size has been exceeded.' } }
    expect(mapped(500, body)).toMatchObject({ code: 'context_length_exceeded', status: 400 })
    expect(mapped(500, 'context deadline exceeded')).toMatchObject({ code: 'upstream_error' })
  })

  it('survives nonsense', () => {
    for (const text of [
      'null',
      '[]',
      '{}',
      '{"error":null}',
      '"',
      '[[[[',
      '{"error":{"message":{}}}',
      '\u0000',
    ]) {
      expect(mapped(400, text)).toMatchObject({ status: 400 })
    }
  })
})

describe('an error inside a 200', () => {
  it.each([
    [{ error: { message: 'x', code: 429 } }, 429],
    [{ error: { message: 'x', type: 'rate_limit_error' } }, 429],
    [{ error: { message: 'x', type: 'invalid_request_error' } }, 400],
    [{ error: 'overloaded' }, 502],
    [{ object: 'error', message: 'x', code: 500 }, 502],
  ])('%j has status %i', (body, status) => {
    expect(isErrorBody(body)).toBe(true)
    expect(inBandError('acme', body, now).status).toBe(status)
  })

  it('is not seen in an answer', () => {
    expect(isErrorBody({ choices: [], error: null })).toBe(false)
    expect(isErrorBody({ id: 'x', output: [], error: null })).toBe(false)
  })
})
