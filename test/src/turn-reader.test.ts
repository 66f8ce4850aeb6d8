// When chunks are handed on alone, together, or read in the host's own way.
import { describe, expect, it } from 'vitest'
import { TurnReader } from '../../src/faces/turn-reader.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

/** A body that gives its chunks one for each read. */
function bodyOf(count: number): ReadableStream<Uint8Array> {
  let given = 0
  return new ReadableStream({
    pull(controller) {
      if (given === count) controller.close()
      else controller.enqueue(bytes(`${given++};`))
    },
  })
}

const all = (count: number) => Array.from({ length: count }, (_, at) => `${at};`).join('')

async function read(reader: TurnReader): Promise<string[]> {
  const decoder = new TextDecoder()
  const turns: string[] = []
  for (;;) {
    const turn = await reader.turn(1000)
    turns.push((turn?.chunks ?? []).map((chunk) => decoder.decode(chunk)).join(''))
    if (turn === undefined || turn.done) return turns
  }
}

describe('TurnReader', () => {
  it('goes over to the host’s way of reading in a burst, and loses nothing', async () => {
    let gathered = 0
    const gather = (body: ReadableStream<Uint8Array>) => {
      gathered++
      return body.getReader()
    }
    const reader = new TurnReader(bodyOf(100), undefined, () => 0, gather)
    expect((await read(reader)).join('')).toBe(all(100))
    expect(gathered).toBe(1)
  })

  it('stays with plain reads while few chunks come at a time', async () => {
    const gather = () => {
      throw new Error('a stream of few chunks is not gathered')
    }
    const reader = new TurnReader(bodyOf(20), undefined, () => 0, gather)
    expect((await read(reader)).join('')).toBe(all(20))
  })

  it('hands on at once what comes after a pause, and together what comes close', async () => {
    let time = 0
    let give: ReadableStreamDefaultController<Uint8Array> | undefined
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        give = controller
      },
    })
    const reader = new TurnReader(body, undefined, () => time)
    const turn = async () => (await reader.turn(1000))?.chunks.length
    give?.enqueue(bytes('a'))
    expect(await turn()).toBe(1)
    time += 100
    const alone = turn()
    give?.enqueue(bytes('b'))
    await Promise.resolve()
    expect(await alone).toBe(1)
    const together = turn()
    give?.enqueue(bytes('c'))
    await Promise.resolve()
    give?.enqueue(bytes('d'))
    expect(await together).toBe(2)
  })
})
