// Where tools run: sessions, order, limits, and faults that end nothing but the call.
import { describe, expect, it } from 'vitest'
import { createToolHost } from '../../../native-node/tools/host.ts'
import type { ApiError } from '../../../src/errors.ts'
import type { HostedCall } from '../../../src/tools/hosted.ts'
import { hostedLimits } from '../../../src/tools/hosted-wire.ts'
import { deferred } from '../../contract/channel.ts'
import { FunctionTool, memoryTool } from './function-tool.ts'

const never = new AbortController().signal
const run = (code: string, rest: Partial<HostedCall> = {}): HostedCall => ({
  tool: 'code_interpreter',
  action: 'run',
  arguments: { code },
  ...rest,
})
const errorOf = (promise: Promise<unknown>): Promise<ApiError> =>
  promise.then(
    () => {
      throw new Error('The call was answered.')
    },
    (error: ApiError) => error,
  )
const ok = (text: string) => ({ text, isError: false })

describe('sessions', () => {
  it('keep their state from call to call and from each other', async () => {
    const host = createToolHost({ tools: [memoryTool()] })
    const first = await host.call(run('x = one'), never)
    const second = await host.call(run('x = two'), never)
    expect(first.session).not.toBe(second.session)
    expect(await host.call(run('x', { session: first.session }), never)).toEqual({
      text: 'one',
      isError: false,
      session: first.session,
    })
    expect((await host.call(run('x', { session: second.session }), never)).text).toBe('two')
    await host.close()
  })

  it('of another tool, ended or made up: the call runs in a new one and says so', async () => {
    const web = memoryTool({ name: 'web_search' })
    const host = createToolHost({ tools: [memoryTool(), web] })
    const find = { tool: 'web_search', action: 'find', arguments: { code: 'x = web' } } as const
    const { session } = await host.call(find, never)
    const answer = await host.call(run('x', { session }), never)
    expect(answer.session).not.toBe(session)
    expect(answer.text).toBe(
      '[The earlier session is over, and what it held is gone. This call ran in a new one.]\nNameError: x',
    )
    await host.close()
  })

  it('end when nobody uses them, and the one used longest ago makes room', async () => {
    const tool = memoryTool({ maxSessions: 2 })
    const host = createToolHost({ tools: [tool] })
    const a = await host.call(run('x = a'), never)
    const b = await host.call(run('x = b'), never)
    await host.call(run('x', { session: a.session }), never)
    await host.call(run('x = c'), never)
    expect(tool.ended).toEqual([b.session])
    expect((await host.call(run('x', { session: a.session }), never)).text).toBe('a')
    await host.close()

    const idle = memoryTool()
    const impatient = createToolHost({ tools: [idle], idleMs: 1 })
    const { session } = await impatient.call(run('x = 1'), never)
    while (idle.ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    expect(idle.ended).toEqual([session])
    expect(idle.sessions).toEqual([])
    await impatient.close()
  })

  it('run one call at a time, in order', async () => {
    const waits: (() => void)[] = []
    const tool = new FunctionTool({
      async call({ arguments: { code } }, _signal, memory) {
        const seen = memory.get('seen') ?? ''
        await new Promise<void>((resolve) => waits.push(resolve))
        memory.set('seen', seen + String(code))
        return ok(seen + String(code))
      },
    })
    const host = createToolHost({ tools: [tool], parallelCalls: 8 })
    const opened = host.call(run('a'), never)
    while (waits.length < 1) await new Promise((resolve) => setTimeout(resolve, 1))
    waits.shift()?.()
    const { session } = await opened
    const calls = ['b', 'c', 'd'].map((code) => host.call(run(code, { session }), never))
    const letGo = setInterval(() => {
      expect(waits.length).toBeLessThanOrEqual(1)
      waits.shift()?.()
    }, 1)
    const texts = (await Promise.all(calls)).map(({ text }) => text)
    clearInterval(letGo)
    expect(texts).toEqual(['ab', 'abc', 'abcd'])
    await host.close()
  })
})

describe('limits', () => {
  it('so many calls at once, so many waiting, none waiting for ever', async () => {
    const { promise, resolve } = deferred()
    let running = 0
    let most = 0
    const tool = new FunctionTool({
      async call() {
        most = Math.max(most, ++running)
        await promise
        running--
        return ok('done')
      },
    })
    const host = createToolHost({ tools: [tool], parallelCalls: 2, waitingCalls: 1, waitMs: 20 })
    const calls = [host.call(run('1'), never), host.call(run('2'), never)]
    const waiting = errorOf(host.call(run('3'), never))
    const refused = await errorOf(host.call(run('4'), never))
    expect(refused).toMatchObject({ code: 'no_capacity', retryAfter: 5 })
    expect(await waiting).toMatchObject({ code: 'no_capacity' })
    resolve()
    expect((await Promise.all(calls)).map(({ text }) => text)).toEqual(['done', 'done'])
    expect(most).toBe(2)
    expect(tool.calls).toHaveLength(2)
    await host.close()
  })

  it('a call that takes too long is told to stop; what it says then is its result', async () => {
    const tool = new FunctionTool({
      call: (_call, signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve({ text: 'so far', isError: true }))
        }),
    })
    const host = createToolHost({ tools: [tool], callMs: 5 })
    expect(await host.call(run('loop'), never)).toMatchObject({ text: 'so far', isError: true })
    expect(tool.ended).toEqual([])
    await host.close()
  })

  it('one that does not stop is given up with its session, and its place is free again', async () => {
    let hung = false
    const tool = new FunctionTool({
      call: () => (hung ? Promise.resolve(ok('alive')) : new Promise(() => {})),
      end: () => new Promise(() => {}),
    })
    const host = createToolHost({ tools: [tool], parallelCalls: 1, callMs: 5, stopMs: 5 })
    const answer = await host.call(run('loop'), never)
    expect(answer).toMatchObject({
      text: 'Error: The call was ended after 0.005 seconds.',
      isError: true,
    })
    expect(tool.ended).toEqual([answer.session])
    hung = true
    expect((await host.call(run('1'), never)).text).toBe('alive')
    await host.close()
  })

  it('text and logs are cut at 256 KiB with a note, never inside a character', async () => {
    const long = 'é'.repeat(hostedLimits.textBytes)
    const tool = new FunctionTool({ call: async () => ({ ...ok(long), logs: long }) })
    const host = createToolHost({ tools: [tool] })
    const { text, logs } = await host.call(run(''), never)
    for (const cut of [text, logs ?? '']) {
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(hostedLimits.textBytes)
      expect(Buffer.byteLength(cut)).toBeGreaterThan(hostedLimits.textBytes - 200)
      expect(cut).toMatch(
        /^é+\n\[The result was cut: it has 524288 bytes, and 262144 are the limit\.\]$/,
      )
    }
    await host.close()
  })

  it('files and sources beyond their limits are left out, and the model is told which files', async () => {
    const file = (path: string, bytes: number) => ({
      path,
      data: Buffer.alloc(bytes).toString('base64'),
      bytes,
      mediaType: 'application/octet-stream',
    })
    const files = [file('a', 10), file('b', hostedLimits.fileBytes), file('c', 1)]
    const source = { cursor: 0, url: 'https://example.com/', title: 't' }
    const sources = Array.from({ length: 300 }, () => source)
    const tool = new FunctionTool({ call: async () => ({ ...ok('done'), files, sources }) })
    const host = createToolHost({ tools: [tool] })
    const result = await host.call(run(''), never)
    expect(result.files).toEqual([files[0]])
    expect(result.text).toMatch(/^done\n\[Not returned, .*: b, c\]$/)
    expect(result.sources).toHaveLength(hostedLimits.sources)
    await host.close()
  })

  it.each([
    ['files.0.path', { files: [{ path: '../x', data: '' }] }],
    ['files.0.path', { files: [{ path: '/etc/passwd', data: '' }] }],
    ['files.0.path', { files: [{ path: 'a\\b', data: '' }] }],
    ['files.0.data', { files: [{ path: 'x', data: 'no base64!' }] }],
    ['session', { session: 'x'.repeat(300) }],
  ])('a malformed call is refused: %s', async (param, rest) => {
    const tool = memoryTool()
    const host = createToolHost({ tools: [tool] })
    const refused = await errorOf(host.call(run('x', rest), never))
    expect(refused).toMatchObject({ code: 'invalid_value', param })
    expect(tool.calls).toEqual([])
    await host.close()
  })
})

describe('faults', () => {
  it('of a tool are results; the session goes on', async () => {
    const faults: unknown[] = []
    let fail = true
    const tool = new FunctionTool({
      async call() {
        if (fail) throw new Error('The interpreter fell over.')
        return ok('fine')
      },
    })
    const host = createToolHost({ tools: [tool], onError: (error) => faults.push(error) })
    const answer = await host.call(run('x'), never)
    expect(answer).toMatchObject({ text: 'Error: The interpreter fell over.', isError: true })
    expect(faults).toHaveLength(1)
    fail = false
    const { session } = answer
    expect(await host.call(run('x', { session }), never)).toEqual({ ...ok('fine'), session })
    await host.close()
  })

  it('an action that the tool does not have is told to the model', async () => {
    const tool = memoryTool()
    const host = createToolHost({ tools: [tool] })
    const answer = await host.call(run('x', { action: 'search' }), never)
    expect(answer).toMatchObject({
      text: "Error: code_interpreter has no action 'search'.",
      isError: true,
    })
    expect(tool.calls).toEqual([])
    await host.close()
  })

  it('a tool that is not here is no capacity', async () => {
    const host = createToolHost({ tools: [memoryTool()] })
    expect(await host.offers('code_interpreter')).toBe(true)
    expect(await host.offers('web_search')).toBe(false)
    const call = { tool: 'web_search', action: 'search', arguments: {} } as const
    expect(await errorOf(host.call(call, never))).toMatchObject({ code: 'no_capacity' })
    await host.close()
  })

  it('a caller that leaves stops the call', async () => {
    const started = deferred()
    let stopped = false
    const tool = new FunctionTool({
      call: (_call, signal) =>
        new Promise((resolve) => {
          started.resolve()
          signal.addEventListener('abort', () => {
            stopped = true
            resolve(ok('late'))
          })
        }),
    })
    const host = createToolHost({ tools: [tool] })
    const caller = new AbortController()
    const call = errorOf(host.call(run('x'), caller.signal))
    await started.promise
    caller.abort(new Error('gone'))
    expect((await call).message).toBe('gone')
    expect(stopped).toBe(true)
    await host.close()
  })

  it('closing ends the calls under way and every tool', async () => {
    const tool = new FunctionTool({
      call: (_call, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    })
    const host = createToolHost({ tools: [tool] })
    const call = errorOf(host.call(run('x'), never))
    await host.close()
    expect(await call).toMatchObject({ code: 'node_lost' })
    expect(tool.closed).toBe(true)
    expect(await host.offers('code_interpreter')).toBe(false)
  })
})
