// What every place that keeps answers under clients' keys must hold, wherever its rows lie.
import { createHash, randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { IdempotencyKeys, KeptAnswer } from '../../src/store/idempotency.ts'

/** A new key, as it comes to the store. */
export function newKey(): string {
  return createHash('sha256').update(randomUUID()).digest('hex')
}

const answer = (text: string): KeptAnswer => ({
  status: 200,
  headers: [['content-type', 'application/json']],
  body: { text },
})

/** Registers the tests; `of` gives a tenant's keys. */
export function itKeepsAnswers(of: (tenant: string) => IdempotencyKeys): void {
  const take = (key: string, digest: string, holder: string) => of('one').take(key, digest, holder)

  it('lets one of many who come at once with a key answer', async () => {
    const key = newKey()
    const holders = Array.from({ length: 50 }, (_, at) => `holder ${at}`)
    const found = await Promise.all(holders.map((holder) => take(key, 'd', holder)))
    expect(found.filter(({ is }) => is === 'yours')).toHaveLength(1)
    expect(found.filter(({ is }) => is === 'running')).toHaveLength(49)
  })

  it('gives the answer to whoever asks the same, and to nobody who asks something else', async () => {
    const key = newKey()
    await take(key, 'd', 'a')
    expect(await take(key, 'other', 'b')).toEqual({ is: 'reused' })
    await of('one').end(key, 'a', answer('hello'))
    expect(await take(key, 'd', 'b')).toEqual({ is: 'kept', answer: answer('hello') })
    expect(await take(key, 'other', 'b')).toEqual({ is: 'reused' })
  })

  it('keeps answers of megabytes, in any script', async () => {
    const key = newKey()
    const long = answer('"héllo 😀",'.repeat(300_000))
    await take(key, 'd', 'a')
    await of('one').end(key, 'a', long)
    expect(await take(key, 'd', 'b')).toEqual({ is: 'kept', answer: long })
  })

  it('keeps what an answer is, or why there is none', async () => {
    for (const body of [{ response: 'resp_1' }, { missing: 'unstored' as const }]) {
      const key = newKey()
      await take(key, 'd', 'a')
      const kept = { ...answer(''), body }
      await of('one').end(key, 'a', kept)
      expect(await take(key, 'd', 'b')).toEqual({ is: 'kept', answer: kept })
    }
  })

  it('frees a key whose request came to nothing, for any request', async () => {
    const key = newKey()
    await take(key, 'd', 'a')
    await of('one').end(key, 'a', null)
    expect(await take(key, 'other', 'b')).toEqual({ is: 'yours' })
  })

  it('hears nobody but the holder', async () => {
    const key = newKey()
    await take(key, 'd', 'a')
    expect(await of('one').hold(key, 'b', { response: 'resp_1' })).toBe(false)
    await of('one').end(key, 'b', answer('forged'))
    await of('one').end(key, 'b', null)
    expect(await take(key, 'd', 'c')).toEqual({ is: 'running' })
    expect(await of('one').hold(key, 'a', null)).toBe(true)
    await of('one').end(key, 'a', answer('true'))
    expect(await of('one').hold(key, 'a', null)).toBe(false)
    expect(await of('one').hold(newKey(), 'a', null)).toBe(false)
  })

  it('tells those who wait when the request has ended', async () => {
    const key = newKey()
    await of('one').ended(key)
    await take(key, 'd', 'a')
    let woken = 0
    const waiting = Array.from({ length: 3 }, async () => {
      await of('one').ended(key)
      woken++
    })
    expect(await take(key, 'd', 'b')).toEqual({ is: 'running' })
    expect(woken).toBe(0)
    await of('one').end(key, 'a', answer('done'))
    await Promise.all(waiting)
  })

  it('keeps the keys of tenants apart', async () => {
    const key = newKey()
    expect(await take(key, 'd', 'a')).toEqual({ is: 'yours' })
    expect(await of('two').take(key, 'other', 'a')).toEqual({ is: 'yours' })
    await of('one').end(key, 'a', answer('of one'))
    expect(await of('two').take(key, 'other', 'b')).toEqual({ is: 'running' })
  })
}
