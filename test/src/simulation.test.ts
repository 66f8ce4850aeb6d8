// A short run of what `npm run simulate` does for thirty days: real send loop, virtual time.
import { expect, it } from 'vitest'
import { simulate } from '../wall/simulation.ts'

it('serves far more than its best upstream over a day of outages', async () => {
  const availability = [0.96, 0.95] as const
  const report = await simulate({ days: 1, seed: 3, everyMs: 120_000, rescue: true, availability })
  const { requests, served, downMs, by, unserved } = report
  expect(requests).toBeGreaterThan(500)
  // Each was down for most of an hour.
  for (const ms of downMs) expect(ms).toBeGreaterThan(50 * 60_000)
  expect(served / requests).toBeGreaterThan(0.993)
  expect(by.two).toBeGreaterThan(10)
  // Nobody waits longer than it takes to give two silent places up.
  expect(report.longestMs).toBeLessThan(200_000)
  expect(Object.values(unserved).reduce((sum, count) => sum + count, 0)).toBe(requests - served)
})

it('gives the same days for the same seed', async () => {
  const options = {
    days: 0.1,
    seed: 5,
    everyMs: 20_000,
    rescue: false,
    availability: [0.9, 0.9],
  } as const
  expect(await simulate(options)).toEqual(await simulate(options))
})
