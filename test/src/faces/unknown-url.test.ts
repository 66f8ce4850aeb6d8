import { describe, expect, it } from 'vitest'
import { unknownUrl, wrongMethod } from '../../../src/faces/unknown-url.ts'

describe('a path that nothing answers', () => {
  it.each([
    ['/v1/v1/chat/completions', 'Did you mean /v1/chat/completions?'],
    ['/chat/completions', 'Did you mean /v1/chat/completions?'],
    ['/v1/chat/completions/', 'Did you mean /v1/chat/completions?'],
    ['/v1//responses', 'Did you mean /v1/responses?'],
    ['/v1/Models', 'Did you mean /v1/models?'],
    ['/groq/v1/chat/completions/', 'Did you mean /groq/v1/chat/completions?'],
    ['/v1/v1/messages', 'Did you mean /v1/messages?'],
    ['/v1/completions', 'Its successor is /v1/chat/completions.'],
    ['/', 'The API is below /v1: GET /v1/models lists its models.'],
    ['/v1/', 'The API is below /v1: GET /v1/models lists its models.'],
  ])('%s brings a hint', (path, hint) => {
    const error = unknownUrl('POST', path)
    expect(error).toMatchObject({ status: 404, code: 'not_found' })
    expect(error.message).toBe(`Unknown request URL: POST ${path}. ${hint}`)
  })

  it.each(['/v1/embeddings', '/wp-admin', `/${'v1/'.repeat(1000)}`])('%s brings none', (path) => {
    expect(unknownUrl('GET', path).message).toBe(`Unknown request URL: GET ${path}.`)
  })
})

it('a method that a path does not have is answered with those that it has', () => {
  const response = wrongMethod('PUT', '/v1/conversations/conv_1', ['GET', 'DELETE']).toResponse()
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, DELETE'])
})
