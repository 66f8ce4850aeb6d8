// What every place that keeps claims must hold, wherever they lie.
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { Claims } from '../../src/tools/mcp/claims.ts'

const hour = 3_600_000

/** Registers the tests; `of` gives a tenant's claims. */
export function itKeepsClaims(of: (tenant: string) => Claims): void {
  it('gives a key to the first one who claims it, and to no other', async () => {
    const key = `approval ${randomUUID()}`
    expect(await of('one').claim(key, hour)).toBe(true)
    expect(await of('one').claim(key, hour)).toBe(false)
    expect(await of('one').claim(`${key} too`, hour)).toBe(true)
  })

  it('gives a key to one of many who claim it at once', async () => {
    const key = `approval ${randomUUID()}`
    const claims = Array.from({ length: 50 }, () => of('one').claim(key, hour))
    expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1)
  })

  it('keeps the claims of tenants apart', async () => {
    const key = `approval ${randomUUID()}`
    expect(await of('one').claim(key, hour)).toBe(true)
    expect(await of('two').claim(key, hour)).toBe(true)
    expect(await of('two').claim(key, hour)).toBe(false)
  })

  it('gives a key again once its time is over', async () => {
    const key = `approval ${randomUUID()}`
    expect(await of('one').claim(key, 0)).toBe(true)
    expect(await of('one').claim(key, hour)).toBe(true)
    expect(await of('one').claim(key, hour)).toBe(false)
  })
}
