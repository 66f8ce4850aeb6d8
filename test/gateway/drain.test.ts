// What is read of a body that nobody wants, before its answer is told.
import { expect, it } from 'vitest'
import { drain } from '../../gateway/drain.ts'

const post = (headers: Record<string, string> = {}) =>
  new Request('http://gateway/v1/responses', { method: 'POST', body: 'x'.repeat(50), headers })

it.each([
  ['read off', post(), true],
  [
    'left alone where it is declared as larger than we read',
    post({ 'content-length': '101' }),
    false,
  ],
  [
    'left alone where the client sends it only when told to',
    post({ expect: '100-continue' }),
    false,
  ],
])('a body is %s', async (_, request, isRead) => {
  await drain(request, 100)
  expect(request.bodyUsed).toBe(isRead)
})
