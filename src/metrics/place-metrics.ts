// How the places stand, as an isolate sees them: breakers, limits, budgets of retries, and the nodes that are connected.
import type { Place } from '../faces/deps.ts'
import type { BreakerState } from '../routing/breaker.ts'
import type { Observations } from '../routing/observations.ts'
import type { Labels, MetricFamily, Sample } from './families.ts'
import { providerOf } from './request-metrics.ts'

const breakerValues: Readonly<Record<BreakerState, number>> = { closed: 0, trial: 1, open: 2 }

/** `modelAt`: the label of a place's model. */
export function placeFamilies(
  observations: Observations,
  modelAt: (place: Place) => string,
  now: number,
): MetricFamily[] {
  const breakers = new Highest()
  const limits = new Highest()
  for (const { place, breaker, limited } of observations.places(now)) {
    const labels = { provider: providerOf(place), model: modelAt(place) }
    breakers.add(labels, breakerValues[breaker])
    limits.add(labels, limited ? 1 : 0)
  }
  const budgets = observations.budgets(now).map(({ place, left }) => ({
    labels: { provider: providerOf(place) },
    value: left,
  }))
  return [
    {
      name: 'switchyard_breaker_state',
      help: 'Circuit breaker of a model at a place: 0 closed, 1 a trial may come, 2 open.',
      type: 'gauge',
      samples: breakers.samples(),
    },
    {
      name: 'switchyard_rate_limited',
      help: '1 while a place has asked to be left alone (429 with Retry-After).',
      type: 'gauge',
      samples: limits.samples(),
    },
    {
      name: 'switchyard_retry_budget',
      help: 'Retries that a place has left: a tenth of its calls, 10 at most.',
      type: 'gauge',
      // Nodes of one name belong to tenants of their own, and are told as one: the poorest counts.
      samples: lowest(budgets),
    },
  ]
}

/** What a connected node tells of itself. */
interface NodeLoad {
  slots: number
  running: number
  waiting: number
}

/** Nodes by tenant. */
export function nodeFamilies(nodes: ReadonlyMap<string, readonly NodeLoad[]>): MetricFamily[] {
  const family = (
    name: string,
    help: string,
    measure: (list: readonly NodeLoad[]) => number,
  ): MetricFamily => ({
    name,
    help,
    type: 'gauge',
    samples: [...nodes].map(([tenant, list]) => ({ labels: { tenant }, value: measure(list) })),
  })
  const sum = (field: keyof NodeLoad) => (list: readonly NodeLoad[]) =>
    list.reduce((total, node) => total + node[field], 0)
  return [
    family('switchyard_nodes', 'Nodes that are connected.', (list) => list.length),
    family('switchyard_node_slots', 'Requests that they can run at once.', sum('slots')),
    family('switchyard_node_requests_running', 'Requests that run there now.', sum('running')),
    family('switchyard_node_requests_waiting', 'Requests that wait there.', sum('waiting')),
  ]
}

/** Several models may go by one label: the worst is told. */
class Highest {
  readonly #samples = new Map<string, { labels: Labels; value: number }>()

  add(labels: Labels, value: number): void {
    const key = JSON.stringify(labels)
    const known = this.#samples.get(key)
    if (known === undefined) this.#samples.set(key, { labels, value })
    else known.value = Math.max(known.value, value)
  }

  samples(): Sample[] {
    return [...this.#samples.values()]
  }
}

function lowest(samples: readonly { labels: Labels; value: number }[]): Sample[] {
  const worst = new Highest()
  for (const { labels, value } of samples) worst.add(labels, -value)
  return worst.samples().map(({ labels = {}, value }) => ({ labels, value: 0 - value }))
}
