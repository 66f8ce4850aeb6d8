// What every way from a caller to a handler on a node must keep, whatever carries the frames.
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Handler } from '../../src/tunnel/responder.ts'

export interface ChannelHarness {
  /** POST /v1/responses with this body, as JSON. */
  open(body: Record<string, unknown>, signal?: AbortSignal): Promise<Response>
  /** Breaks the line, as a pulled plug does. */
  cut(): void
  close(): Promise<void>
  /** Bytes that may lie between handler and caller when the caller does not read: ours and the runtime's. */
  heldBytes: number
}

/** Promise.withResolvers, which the tests' library level lacks. */
export function deferred<T = void>() {
  let resolve!: (value: T | PromiseLike<T>) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

const bytes = (text: string) => new TextEncoder().encode(text)

/** A stream that the test writes to by hand. */
export function handStream() {
  let controller!: ReadableStreamDefaultController<Uint8Array>
  const cancelled = deferred()
  const stream = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given
    },
    cancel: () => cancelled.resolve(),
  })
  return {
    stream,
    cancelled: cancelled.promise,
    write: (text: string) => controller.enqueue(bytes(text)),
    end: () => controller.close(),
    fail: (error: Error) => controller.error(error),
  }
}

/** Reads until `text` has come; what comes after it in the same chunk counts as too early. */
export async function expectNext(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  text: string,
): Promise<void> {
  let seen = ''
  while (seen.length < text.length) {
    const { done, value } = await reader.read()
    if (done) break
    seen += new TextDecoder().decode(value)
  }
  expect(seen).toBe(text)
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve())
  })

/**
 * `breaksInvisible`: workerd ends a chunked answer as if it were whole when a body that it passes on natively breaks
 * off, so a caller behind it cannot see that. The Worker's own readers can, and faces read.
 */
export function channelContract(
  name: string,
  connect: (handler: Handler) => Promise<ChannelHarness>,
  { breaksInvisible = false } = {},
): void {
  describe(`channel contract: ${name}`, () => {
    let harness: ChannelHarness
    /** What the node does with a request; each test sets its own. */
    let handle: Handler

    beforeEach(async () => {
      harness = await connect((request) => handle(request))
    })
    afterEach(() => harness.close())

    it('carries method, path, headers and body there and status, headers and body back', async () => {
      handle = async (request) => {
        const { pathname } = new URL(request.url)
        const type = request.headers.get('content-type')
        const text = await request.text()
        return Response.json(
          { method: request.method, pathname, type, text },
          { status: 201, headers: { 'x-of-node': 'yes', connection: 'close' } },
        )
      }
      const response = await harness.open({ greeting: 'grüß dich 🌍' })
      expect(response.status).toBe(201)
      expect(response.headers.get('x-of-node')).toBe('yes')
      expect(response.headers.get('content-type')).toBe('application/json')
      expect(await response.json()).toEqual({
        method: 'POST',
        pathname: '/v1/responses',
        type: 'application/json',
        text: '{"greeting":"grüß dich 🌍"}',
      })
    })

    it('lets each piece through before the next is made', async () => {
      const source = handStream()
      handle = async () => new Response(source.stream)
      const response = await harness.open({})
      const reader = response.body!.getReader()
      for (const text of ['one', 'two', 'three']) {
        source.write(text)
        await expectNext(reader, text)
      }
      source.end()
      expect((await reader.read()).done).toBe(true)
    })

    it('gives HEAD before the body has begun', async () => {
      const source = handStream()
      handle = async () => new Response(source.stream, { headers: { 'x-early': '1' } })
      const response = await harness.open({})
      expect(response.headers.get('x-early')).toBe('1')
      source.write('late')
      source.end()
      expect(await response.text()).toBe('late')
    })

    it('carries 5 MB both ways', async () => {
      handle = async (request) => {
        const text = await request.text()
        return new Response(text, { headers: { 'x-hash': hashOf(text) } })
      }
      const big = { text: 'äbc😀'.repeat(500_000) }
      const response = await harness.open(big)
      const text = await response.text()
      expect(text).toBe(JSON.stringify(big))
      expect(response.headers.get('x-hash')).toBe(hashOf(text))
    })

    it('carries a body without a byte', async () => {
      handle = async () => new Response(new Uint8Array(0))
      expect(await (await harness.open({})).text()).toBe('')
    })

    it('keeps 100 streams apart', async () => {
      handle = async (request) => {
        const { text } = JSON.parse(await request.text())
        const source = handStream()
        queueMicrotask(async () => {
          for (const letter of text) {
            source.write(letter)
            await new Promise((resolve) => setImmediate(resolve))
          }
          source.end()
        })
        return new Response(source.stream)
      }
      const texts = Array.from({ length: 100 }, (_, n) => `stream ${n} says ${n * n}`)
      const answers = await Promise.all(
        texts.map(async (text) => (await harness.open({ text })).text()),
      )
      expect(answers).toEqual(texts)
    })

    it('stalls only the stream whose reader is slow, and holds little for it', async () => {
      let made = 0
      const piece = new Uint8Array(16_384).fill(120)
      const total = harness.heldBytes * 1.5
      const slowSource = new ReadableStream<Uint8Array>({
        pull(controller) {
          made += piece.byteLength
          controller.enqueue(piece)
          if (made >= total) controller.close()
        },
      })
      handle = async (request) => {
        const { slow } = JSON.parse(await request.text())
        return new Response(slow ? slowSource : 'quick')
      }
      const slow = await harness.open({ slow: true })
      const reader = slow.body!.getReader()
      let read = (await reader.read()).value!.byteLength
      let before = -1
      // Other streams pass meanwhile; once the stalled one has made nothing during one, it stands.
      while (made !== before) {
        before = made
        for (let n = 0; n < 20; n++) expect(await (await harness.open({})).text()).toBe('quick')
      }
      expect(made).toBeLessThanOrEqual(harness.heldBytes)
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        read += value.byteLength
      }
      expect(read).toBe(made)
      expect(made).toBeGreaterThanOrEqual(total)
    })

    it('stops the node when the caller goes before HEAD', async () => {
      const arrived = deferred<AbortSignal>()
      handle = async (request) => {
        arrived.resolve(request.signal)
        await aborted(request.signal)
        throw request.signal.reason
      }
      const caller = new AbortController()
      const answer = harness.open({}, caller.signal)
      const rejected = expect(answer).rejects.toThrow()
      const signal = await arrived.promise
      caller.abort()
      await aborted(signal)
      await rejected
    })

    it('stops the node when the caller goes after HEAD, before the first byte', async () => {
      const source = handStream()
      const arrived = deferred<AbortSignal>()
      handle = async (request) => {
        arrived.resolve(request.signal)
        return new Response(source.stream)
      }
      const caller = new AbortController()
      await harness.open({}, caller.signal)
      caller.abort()
      await aborted(await arrived.promise)
      await source.cancelled
    })

    it('stops the node when the caller goes in mid-stream', async () => {
      const source = handStream()
      handle = async () => new Response(source.stream)
      const caller = new AbortController()
      const response = await harness.open({}, caller.signal)
      const reader = response.body!.getReader()
      source.write('some')
      await expectNext(reader, 'some')
      caller.abort()
      await source.cancelled
      await expect(reader.read()).rejects.toThrow()
    })

    it('stops the node when the reader cancels', async () => {
      const source = handStream()
      handle = async () => new Response(source.stream)
      const response = await harness.open({})
      source.write('some')
      const reader = response.body!.getReader()
      await expectNext(reader, 'some')
      await reader.cancel()
      await source.cancelled
    })

    it('goes on with other streams after a cancel', async () => {
      const source = handStream()
      handle = async (request) => {
        const { hang } = JSON.parse(await request.text())
        return new Response(hang ? source.stream : 'fine')
      }
      const response = await harness.open({ hang: true })
      await response.body!.cancel()
      await source.cancelled
      expect(await (await harness.open({})).text()).toBe('fine')
    })

    it.skipIf(breaksInvisible)(
      'makes the reader throw when the source breaks off, after what had come',
      async () => {
        const source = handStream()
        handle = async () => new Response(source.stream)
        const response = await harness.open({})
        const reader = response.body!.getReader()
        source.write('half')
        await expectNext(reader, 'half')
        source.fail(new Error('engine died'))
        await expect(reader.read()).rejects.toThrow()
      },
    )

    it.skipIf(breaksInvisible)(
      'makes the reader throw when the line is cut in mid-stream',
      async () => {
        const source = handStream()
        handle = async () => new Response(source.stream)
        const response = await harness.open({})
        const reader = response.body!.getReader()
        source.write('half')
        await expectNext(reader, 'half')
        harness.cut()
        await expect(reader.read()).rejects.toThrow()
        await source.cancelled
      },
    )
  })
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
