import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  chooseNode,
  isFull,
  type NodeLoad,
  workAt,
} from '../../gateway/durable-objects/choose-node.ts'

const node = (change: Partial<NodeLoad> = {}): NodeLoad => ({
  slots: 1,
  inFlight: 0,
  status: undefined,
  inFlightThen: 0,
  lastUsed: 0,
  ...change,
})

describe('work at a node', () => {
  it('is what the hub sent there, before the node has said anything', () => {
    expect(workAt(node({ inFlight: 3 }))).toBe(3)
  })

  it('does not count the hub’s own requests twice when STATUS tells of them', () => {
    const status = { running: 2, waiting: 1 }
    expect(workAt(node({ inFlight: 3, inFlightThen: 3, status }))).toBe(3)
    expect(workAt(node({ inFlight: 5, inFlightThen: 3, status }))).toBe(5)
    expect(workAt(node({ inFlight: 0, inFlightThen: 3, status }))).toBe(0)
  })

  it('adds what others have there', () => {
    const status = { running: 4, waiting: 2 }
    expect(workAt(node({ inFlight: 1, inFlightThen: 1, status }))).toBe(6)
  })

  it('is never below the hub’s own, whatever a late STATUS says', () => {
    const status = { running: 0, waiting: 0 }
    expect(workAt(node({ inFlight: 2, inFlightThen: 5, status }))).toBe(2)
  })
})

describe('the choice', () => {
  it('is nobody among nobody, and nobody among the full', () => {
    expect(chooseNode([])).toBeUndefined()
    const full = node({ inFlight: 3, status: { running: 1, waiting: 2, queue_limit: 2 } })
    expect(isFull(full)).toBe(true)
    expect(chooseNode([full])).toBeUndefined()
  })

  it('is a busy node rather than none', () => {
    const busy = node({ inFlight: 9 })
    expect(chooseNode([busy])).toBe(busy)
  })

  it('spreads any number of requests so that no node waits while another is free', () => {
    const slots = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(slots, fc.nat(60), (sizes, requests) => {
        const nodes = sizes.map((size) => node({ slots: size }))
        for (let n = 1; n <= requests; n++) {
          const chosen = chooseNode(nodes)!
          chosen.inFlight++
          chosen.lastUsed = n
        }
        const someWaits = nodes.some(({ inFlight, slots }) => inFlight > slots)
        const someFree = nodes.some(({ inFlight, slots }) => inFlight < slots)
        expect(someWaits && someFree).toBe(false)
        const queues = nodes.map(({ inFlight, slots }) => inFlight - slots)
        if (someWaits) expect(Math.max(...queues) - Math.min(...queues)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('between equals is the one used longest ago', () => {
    const nodes = [node({ lastUsed: 7 }), node({ lastUsed: 3 }), node({ lastUsed: 5 })]
    expect(chooseNode(nodes)).toBe(nodes[1])
  })
})
