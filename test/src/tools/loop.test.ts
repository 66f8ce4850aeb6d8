// The tool loop through both faces, over a scripted model and tools that are plain functions of this process.
import { describe, expect, it } from 'vitest'
import { handleChat, handleResponses } from '../../../src/index.ts'
import type { HostedCall, HostedResult, HostedTools } from '../../../src/tools/hosted.ts'
import { checkOrder } from '../../oracle/order.ts'
import { chunk, eventsOf, sse } from '../support.ts'
import { candidate, host, json, post, type Script, streamed } from '../upstream.ts'
import { type Json, kinds, model, turn } from './script.ts'

const python = { type: 'code_interpreter', container: { type: 'auto' } }
const ask = { model: 'test/model', input: 'hi', tools: [python] }

/** A Python that evaluates nothing but keeps what it was asked. */
class FakePython implements HostedTools {
  readonly calls: HostedCall[] = []
  result: Partial<HostedResult> = {}
  fails = false

  async offers(tool: string): Promise<boolean> {
    return tool === 'code_interpreter'
  }

  async call(call: HostedCall, signal: AbortSignal): Promise<HostedResult> {
    signal.throwIfAborted()
    this.calls.push(call)
    if (this.fails) throw new Error('the sandbox burst')
    const text = `ran ${String(call.arguments.code)}`
    return { text, isError: false, session: 's1', logs: text, ...this.result }
  }
}

function stage(turns: readonly (readonly object[])[]) {
  const hosted = new FakePython()
  const made = host([candidate(), model(turns)])
  made.deps.hosted = hosted
  return { ...made, hosted }
}

async function streamOf(request: Json, turns: readonly (readonly object[])[]) {
  const made = stage(turns)
  const response = await handleResponses(post({ ...request, stream: true }), made.deps)
  expect(response.status).toBe(200)
  const events = eventsOf(await response.text())
  expect(checkOrder(events)).toEqual([])
  return { ...made, events, response, final: events.at(-1)?.response as Json }
}

async function jsonOf(request: Json, turns: readonly (readonly object[])[]) {
  const made = stage(turns)
  const response = await handleResponses(post(request), made.deps)
  return { ...made, response, final: (await response.json()) as Json }
}

const runs = (...codes: string[]) =>
  turn(codes.map((input) => ({ name: 'python', args: { input } })))

describe('a call of a tool that runs here', () => {
  it('leaves a fault in another tool where the client wrote it', async () => {
    const { deps } = stage([])
    const parameters = { type: 'object', properties: { a: { type: 'odd' } } }
    const mine = { type: 'function', name: 'mine', strict: true, parameters }
    const response = await handleResponses(post({ ...ask, tools: [python, mine] }), deps)
    const { error } = (await response.json()) as { error: Json }
    expect(response.status).toBe(400)
    expect(error.param).toMatch(/^tools\[1\]\.parameters/)
    expect(error.message).toContain("'tools[1].parameters.")
  })

  it('says when a container that could not be made may be had', async () => {
    const { deps, hosted, sent } = stage([])
    const body = { error: { code: 'no_capacity', message: 'All are in use.', param: null } }
    const init = { status: 503, headers: { 'retry-after': '7' } }
    Object.assign(hosted, { containers: async () => Response.json(body, init) })
    const container = { type: 'auto', memory_limit: '1g' }
    const response = await handleResponses(
      post({ ...ask, tools: [{ ...python, container }] }),
      deps,
    )
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '7'])
    expect(sent).toHaveLength(0)
  })

  it('becomes an item of its kind, and what it gave goes to the model', async () => {
    const { events, final, sent, hosted } = await streamOf(ask, [
      turn([{ name: 'python', args: { input: '1+1' } }], 'let me count'),
      turn('It is 2.'),
    ])
    expect(kinds(final)).toEqual(['reasoning', 'code_interpreter_call', 'message'])
    expect((final.output as Json[])[1]).toMatchObject({
      status: 'completed',
      code: '1+1',
      container_id: 'cntr_s1',
      outputs: [{ type: 'logs', logs: 'ran 1+1' }],
    })
    expect(hosted.calls).toHaveLength(1)
    const messages = sent[1]?.body.messages as Json[]
    expect(messages.at(-1)).toMatchObject({ role: 'tool', content: 'ran 1+1' })
    expect(messages.at(-2)).toMatchObject({ role: 'assistant' })
    expect(final.usage).toMatchObject({ input_tokens: 20, output_tokens: 10, total_tokens: 30 })
    const code = events.filter(({ type }) => type === 'response.code_interpreter_call_code.delta')
    expect(code.map(({ delta }) => delta).join('')).toBe('1+1')
  })

  it('is the same without a stream', async () => {
    const { final, hosted, response } = await jsonOf(ask, [runs('1+1'), turn('It is 2.')])
    expect(response.status).toBe(200)
    expect(kinds(final)).toEqual(['code_interpreter_call', 'message'])
    expect(final).toMatchObject({ status: 'completed', usage: { total_tokens: 30 } })
    expect(hosted.calls.map(({ arguments: args }) => args.code)).toEqual(['1+1'])
  })

  it('is not seen by a Chat client, which gets the text', async () => {
    for (const stream of [false, true]) {
      const { deps, hosted } = stage([runs('1+1'), turn('It is 2.')])
      const messages = [{ role: 'user', content: 'hi' }]
      const body = { model: 'test/model', messages, tools: [python], stream }
      const response = await handleChat(post(body), deps)
      const text = await response.text()
      expect(text).toContain('It is 2.')
      expect(text).not.toContain('python')
      expect(hosted.calls).toHaveLength(1)
    }
  })

  it('goes on in the container of the turn before', async () => {
    const item = {
      type: 'code_interpreter_call',
      id: 'ci_1',
      code: 'x=1',
      container_id: 'cntr_old',
    }
    const outputs = [{ type: 'logs', logs: 'done' }]
    const input = [
      { ...item, outputs },
      { role: 'user', content: 'and now?' },
    ]
    const { hosted, sent } = await jsonOf({ ...ask, input }, [runs('x'), turn('1')])
    expect(hosted.calls[0]?.session).toBe('old')
    const messages = sent[0]?.body.messages as Json[]
    expect(messages[1]).toMatchObject({ role: 'tool', content: 'done' })
  })

  it('goes on in a new one where no call of the turns before had any', async () => {
    const made = stage([runs('x'), turn('No.'), runs('x'), turn('1')])
    made.hosted.fails = true
    const first = (await (await handleResponses(post(ask), made.deps)).json()) as Json
    made.hosted.fails = false
    const input = [...(first.output as Json[]), { role: 'user', content: 'again' }]
    await handleResponses(post({ ...ask, input }), made.deps)
    expect(made.hosted.calls.map(({ session }) => session)).toEqual([undefined, undefined])
    const odd = [{ type: 'code_interpreter_call', id: 'ci_1', container_id: 'elsewhere_1' }]
    const { hosted } = await jsonOf({ ...ask, input: [...odd, ...input] }, [runs('x'), turn('1')])
    expect(hosted.calls[0]?.session).toBeUndefined()
  })

  it('tells the client which files it made', async () => {
    const made = stage([runs('plot()'), turn('See there.')])
    const file = { path: 'a.png', data: 'QUJD', bytes: 3, mediaType: 'image/png' }
    made.hosted.result = { files: [file] }
    const response = await handleResponses(post({ ...ask, stream: true }), made.deps)
    const events = eventsOf(await response.text())
    expect(checkOrder(events)).toEqual([])
    const final = events.at(-1)?.response as Json
    const [call = {}, message = {}] = final.output as Json[]
    expect(call.outputs).toContainEqual({ type: 'image', url: 'data:image/png;base64,QUJD' })
    const [part = {}] = message.content as Json[]
    expect(part.annotations).toMatchObject([
      { type: 'container_file_citation', filename: 'a.png', start_index: 10, end_index: 10 },
    ])
  })
})

describe('calls in one turn', () => {
  it('are shown one after the other, each run once', async () => {
    const { final, hosted } = await streamOf(ask, [runs('a', 'b', 'c'), turn('Done.')])
    expect(kinds(final)).toEqual([
      'code_interpreter_call',
      'code_interpreter_call',
      'code_interpreter_call',
      'message',
    ])
    expect(hosted.calls.map(({ arguments: args }) => args.code)).toEqual(['a', 'b', 'c'])
  })

  it("end the response where the client's own function was called, too", async () => {
    const tools = [python, { type: 'function', name: 'mine', parameters: { type: 'object' } }]
    const calls = [
      { name: 'python', args: { input: 'a' } },
      { name: 'mine', args: {} },
    ]
    for (const run of [streamOf, jsonOf]) {
      const { final, hosted, sent } = await run({ ...ask, tools }, [turn(calls), turn('no')])
      expect(kinds(final)).toEqual(['code_interpreter_call', 'function_call'])
      expect(final.status).toBe('completed')
      expect(hosted.calls).toHaveLength(1)
      expect(sent).toHaveLength(1)
    }
  })
})

describe('limits', () => {
  it('max_tool_calls: calls beyond it are told to the model and not run', async () => {
    const request = { ...ask, max_tool_calls: 1 }
    const { final, hosted, sent } = await streamOf(request, [runs('a', 'b'), turn('Well.')])
    expect(hosted.calls).toHaveLength(1)
    expect((final.output as Json[])[1]).toMatchObject({ status: 'failed' })
    const messages = sent[1]?.body.messages as Json[]
    expect(messages.at(-1)?.content).toContain('No more than 1 tool calls')
  })

  it('the same call is run three times', async () => {
    const same = Array.from({ length: 5 }, () => runs('again'))
    const { hosted, final } = await jsonOf(ask, [...same, turn('Well.')])
    expect(hosted.calls).toHaveLength(3)
    expect(final.status).toBe('completed')
  })

  it('sixteen rounds, then the response is incomplete', async () => {
    const endless = Array.from({ length: 40 }, (_, index) => runs(`step ${index}`))
    for (const run of [streamOf, jsonOf]) {
      const { hosted, final } = await run(ask, endless)
      expect(hosted.calls).toHaveLength(16)
      expect(final).toMatchObject({
        status: 'incomplete',
        incomplete_details: { reason: 'max_tool_calls' },
      })
    }
  })

  it('a choice that asks for a call asks for one', async () => {
    const request = { ...ask, tool_choice: { type: 'code_interpreter' } }
    const { sent } = await jsonOf(request, [runs('a'), turn('Done.')])
    expect(sent[0]?.body.tool_choice).toBe('required')
    expect(sent[1]?.body.tool_choice ?? 'auto').toBe('auto')
  })

  it('a choice of one tool is for the first turn; a list of allowed ones is for all', async () => {
    const other = { type: 'function', name: 'other', parameters: { type: 'object' } }
    const names = ({ tools }: Json) =>
      (tools as { function: { name: string } }[]).map((tool) => tool.function.name)
    const only = { type: 'code_interpreter' }
    const listed = { type: 'allowed_tools', mode: 'required', tools: [only] }
    for (const [tool_choice, later] of [
      [only, ['other', 'python']],
      [listed, ['python']],
    ] as const) {
      const request = { ...ask, tools: [python, other], tool_choice }
      const { sent } = await jsonOf(request, [runs('a'), turn('Done.')])
      expect(names(sent[0]?.body as Json)).toEqual(['python'])
      expect(names(sent[1]?.body as Json)).toEqual(later)
    }
  })
})

describe('faults', () => {
  it('of the tool are told to the model', async () => {
    const made = stage([runs('a'), turn('It failed.')])
    made.hosted.fails = true
    const response = await handleResponses(post(ask), made.deps)
    const final = (await response.json()) as Json
    expect((final.output as Json[])[0]).toMatchObject({ status: 'failed' })
    expect(final.status).toBe('completed')
  })

  it('of the code itself are what it gave: it has run', async () => {
    const logs = 'Traceback (most recent call last):\nValueError: no'
    const made = stage([runs('a'), turn('It raised.')])
    made.hosted.result = { text: logs, logs, isError: true, raised: true }
    const final = (await (await handleResponses(post(ask), made.deps)).json()) as Json
    expect((final.output as Json[])[0]).toMatchObject({
      status: 'completed',
      outputs: [{ type: 'logs', logs }],
    })
    made.hosted.result = { text: 'killed', logs: '', isError: true }
    const { deps, hosted } = stage([runs('a'), turn('It was stopped.')])
    hosted.result = made.hosted.result
    const stopped = (await (await handleResponses(post(ask), deps)).json()) as Json
    expect((stopped.output as Json[])[0]).toMatchObject({ status: 'failed' })
  })

  it('of the first turn are HTTP errors', async () => {
    const refused: Script = () => json({ error: { message: 'full', code: 'x' } })
    const { deps } = host([candidate(), refused])
    deps.hosted = new FakePython()
    for (const stream of [false, true]) {
      const response = await handleResponses(post({ ...ask, stream }), deps)
      expect(response.status).toBeGreaterThanOrEqual(400)
    }
  })

  it('of a later turn keep what was done', async () => {
    const script = (): Script => {
      const first = model([runs('a')])
      let at = 0
      return (call) => {
        if (at++ === 0) return first(call)
        return call.stream
          ? streamed([sse([chunk({ content: 'It is' })]), new Error('cut')])
          : json({ error: { message: 'gone' } })
      }
    }
    for (const stream of [false, true]) {
      const { deps } = host([candidate(), script()])
      deps.hosted = new FakePython()
      const response = await handleResponses(post({ ...ask, stream }), deps)
      expect(response.status).toBe(200)
      const text = await response.text()
      const final = stream ? (eventsOf(text).at(-1)?.response as Json) : JSON.parse(text)
      if (stream) expect(checkOrder(eventsOf(text))).toEqual([])
      expect(final).toMatchObject({ status: 'failed' })
      expect(kinds(final)[0]).toBe('code_interpreter_call')
    }
  })

  it('a client that leaves stops what runs', async () => {
    const made = stage([runs('a'), turn('never')])
    const gone = new AbortController()
    let stopped = false
    made.hosted.call = (_call, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          stopped = true
          reject(signal.reason)
        })
        gone.abort()
      })
    const response = await handleResponses(
      post({ ...ask, stream: true }, { signal: gone.signal }),
      made.deps,
    )
    await response.text().catch(() => undefined)
    expect(stopped).toBe(true)
    expect(made.sent).toHaveLength(1)
  })
})

describe('where nothing runs it', () => {
  it('a tool is left out, and the answer says so', async () => {
    const { deps, sent } = host([candidate(), model([turn('Hello.')])])
    const response = await handleResponses(post(ask), deps)
    expect(response.headers.get('warning')).toContain('code_interpreter')
    expect(sent[0]?.body.tools).toBeUndefined()
  })

  it('so are those that no host offers, beside one that is', async () => {
    const tools = [python, { type: 'web_search' }]
    const { response } = await jsonOf({ ...ask, tools }, [turn('Hello.')])
    expect(response.headers.get('warning')).toContain('web_search')
    expect(response.headers.get('warning')).not.toContain('code_interpreter')
  })

  it('a place that runs tools itself gets them', async () => {
    const own = candidate({ dialects: ['responses'], runsTools: true })
    const { deps, sent } = host([own, () => json({ object: 'response', output: [] })])
    deps.hosted = new FakePython()
    await handleResponses(post(ask), deps)
    expect(sent[0]?.body.tools).toEqual([python])
  })
})
