// `npm run chaos -- [--requests 10000] [--seed 1]`: mixed requests with random faults through the real Worker. None hangs, none
// that was cut is told as a success, each has exactly one end; a client that leaves stops the work upstream.
import { parseArgs } from 'node:util'
import { startGateway } from '../gateway/harness.ts'
import { ask, type Question, type Verdict } from './ask.ts'
import { faults, goodText, startWall, wallConfig, wallText } from './provider.ts'
import { randomSource } from './simulation.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    concurrency: { type: 'string', default: '16' },
  },
})
const total = Number(values.requests)
const random = randomSource(Number(values.seed))
const hangMs = 30_000

const whole = new Set([wallText, goodText, 'Héllo 😀 from the wall.'])
/** Faults whose whole answer is something else than a text. */
const others = new Set(['a28'])
const names = Object.keys(faults)

const wall = await startWall()
const gateway = await startGateway({ config: wallConfig(wall), bindings: { WALL_KEY: 'chaos' } })
const ends: Record<string, number> = {}
const faulty: string[] = []
const stops: number[] = []
let asked = 0

function pick(): Question & { fault: string; leaveAfterMs: number | undefined } {
  const fault = names[Math.floor(random() * names.length)] ?? 'ok'
  const model = `${fault}.c${asked++}`
  const headers: Record<string, string> = {}
  if (random() < 0.3) headers['x-switchyard-rescue'] = 'continue'
  if (random() < 0.1) headers['x-switchyard-hedge'] = '50'
  return {
    fault,
    api: random() < 0.5 ? 'responses' : 'chat',
    stream: random() < 0.6,
    model: random() < 0.3 ? `${model}:wall` : model,
    headers,
    leaveAfterMs: random() < 0.1 ? random() * 300 : undefined,
  }
}

/** What is wrong with an answer, if anything is. */
function wrong({ end, text, complaints, raw }: Verdict, fault: string): string | undefined {
  if (complaints.length > 0) return `breaks rules: ${complaints.join('; ')}`
  if (end === 'completed' && !whole.has(text) && !others.has(fault)) {
    return `is told as a success: ${raw.slice(-300)}`
  }
  return undefined
}

async function one(): Promise<void> {
  const question = pick()
  const { fault, leaveAfterMs } = question
  const controller = new AbortController()
  let left = 0
  const leave = () => {
    left = Date.now()
    controller.abort()
  }
  const timers = [
    setTimeout(() => controller.abort(new Error('hangs')), hangMs),
    ...(leaveAfterMs === undefined ? [] : [setTimeout(leave, leaveAfterMs)]),
  ]
  try {
    const verdict = await ask(gateway.url, { ...question, signal: controller.signal })
    ends[verdict.end] = (ends[verdict.end] ?? 0) + 1
    const why = wrong(verdict, fault)
    if (why !== undefined)
      faulty.push(`${question.model} (${question.api}, ${question.stream}) ${why}`)
  } catch (error) {
    if (left === 0) faulty.push(`${question.model} (${question.api}, ${question.stream}): ${error}`)
    else {
      ends.left = (ends.left ?? 0) + 1
      await stopped(question.model, left)
    }
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
}

/**
 * How long after the client had left the last of its work upstream ended. This client closes and does not reset: workerd
 * notices that only when it writes, so that silent streams end with their own limits (cancel.test.ts resets).
 */
async function stopped(model: string, left: number): Promise<void> {
  const [id = ''] = model.split(':')
  const calls = [...wall.asked(id), ...wall.asked(id, true)]
  const times = await Promise.all(calls.map(({ ended }) => ended))
  const last = Math.max(0, ...times.map(({ at }) => at))
  if (last > left) stops.push(last - left)
}

const began = Date.now()
await Promise.all(
  Array.from({ length: Number(values.concurrency) }, async () => {
    while (asked < total) await one()
  }),
)
stops.sort((a, b) => a - b)
const at = (share: number) => stops[Math.min(stops.length - 1, Math.floor(stops.length * share))]
const seconds = ((Date.now() - began) / 1000).toFixed(0)
process.stdout.write(
  `${asked} requests in ${seconds} s, seed ${values.seed}: ${JSON.stringify(ends)}\n` +
    `work upstream ended after its client had left: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, of ${stops.length}\n` +
    `${faulty.length} wrong\n${faulty.slice(0, 20).join('\n')}\n`,
)
await gateway.stop()
await wall.stop()
process.exit(faulty.length === 0 ? 0 : 1)
