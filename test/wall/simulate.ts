// `npm run simulate -- [--days 30] [--every 20000] [--seed 1]`: how much is served over upstreams of 99.5 % and 99 %.
import { parseArgs } from 'node:util'
import { simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '30' },
    every: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
  },
})
const goal = 0.9995
let reached = true
for (const rescue of [false, true]) {
  const began = performance.now()
  const report = await simulate({
    days: Number(values.days),
    everyMs: Number(values.every),
    seed: Number(values.seed),
    rescue,
    availability: [0.995, 0.99],
  })
  const share = report.served / report.requests
  reached &&= share >= goal
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  process.stdout.write(
    `${values.days} days, ${report.requests} requests, continuation ${rescue ? 'on' : 'off'}: ` +
      `${(share * 100).toFixed(4)} % served (${seconds} s)\n${JSON.stringify(report, null, 2)}\n`,
  )
}
process.exitCode = reached ? 0 : 1
