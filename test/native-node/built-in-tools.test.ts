// Python and the browser as gpt-oss was trained with them: told in the system message, called by their own names.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BuiltInTools, CodeArguments } from '../../native-node/server/built-in-tools.ts'
import { conversationSegments } from '../../native-node/server/harmony-render.ts'
import { toHarmony } from '../../native-node/server/harmony-request.ts'
import { Responder } from '../../native-node/server/responder.ts'
import { control } from '../../native-node/server/vocabulary.ts'
import { lowerTools } from '../../src/convert/agent-tools.ts'
import { idSource } from '../../src/ids.ts'
import { parseResponsesRequest, type ResponseObject } from '../../src/protocol/responses.ts'
import { browserTool, pythonTool } from '../../src/tools/trained-tools.ts'
import { readEvents } from './read-events.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'

const golden: { name: string; text: string }[] = JSON.parse(
  readFileSync(new URL('../fixtures/golden/harmony-built-ins.json', import.meta.url), 'utf8'),
)
const goldenText = (name: string) => golden.find((each) => each.name === name)?.text

/** The prompt of a request as text, control tokens by name. */
function prompt(fields: Record<string, unknown>): string {
  const given = parseResponsesRequest({ model: 'm', input: 'hi', ...fields })
  const { request, calls } = lowerTools(given)
  const messages = toHarmony(request, {
    date: '2025-06-28',
    builtIns: new BuiltInTools(given, calls),
  })
  return conversationSegments(messages)
    .map((part) => ('text' in part ? part.text : control[part.control]))
    .join('')
}

const now = { type: 'function', name: 'now', description: 'The time.' }
const python = pythonTool()
const browser = browserTool()

describe('in the prompt', () => {
  it('they are the tools of the system message, letter for letter', () => {
    const tools = [python, now, browser]
    expect(prompt({ tools, instructions: 'Be brief.' })).toBe(
      goldenText('both built-ins and a function'),
    )
  })

  it('a call of Python is bare code in the thinking, and its output answers from python', () => {
    const input = [
      { role: 'user', content: '2**10?' },
      { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'Compute.' }] },
      { type: 'custom_tool_call', call_id: 'c', name: 'python', input: 'print(2**10)' },
      { type: 'custom_tool_call_output', call_id: 'c', output: '1024\n' },
    ]
    expect(prompt({ tools: [python], input })).toBe(goldenText('python called in the analysis'))
  })

  it("a call of the browser keeps its arguments, and the function's name answers", () => {
    const call = { type: 'function_call', call_id: 'c', namespace: 'browser', name: 'search' }
    const input = [
      { role: 'user', content: 'news?' },
      { ...call, arguments: '{"query":"news"}' },
      { type: 'function_call_output', call_id: 'c', output: '[0] news' },
    ]
    expect(prompt({ tools: [browser], input })).toBe(goldenText('browser called in the analysis'))
  })

  it('calls and outputs of a turn that is answered go with its thinking', () => {
    const input = [
      { role: 'user', content: '2**10?' },
      { type: 'custom_tool_call', call_id: 'c', name: 'python', input: 'print(2**10)' },
      { type: 'custom_tool_call_output', call_id: 'c', output: '1024' },
      { role: 'assistant', content: 'It is 1024.' },
      { role: 'user', content: 'Thanks.' },
    ]
    const text = prompt({ tools: [python], input })
    expect(text).not.toContain('print(2**10)')
    expect(text).toContain('It is 1024.')
  })

  it('they are offered as far as tool_choice allows', () => {
    const tools = [python, browser]
    expect(prompt({ tools, tool_choice: 'none' })).not.toContain('# Tools')
    const allowed = {
      type: 'allowed_tools',
      mode: 'auto',
      tools: [{ type: 'function', namespace: 'browser', name: 'find' }],
    }
    const text = prompt({ tools, tool_choice: allowed })
    expect(text).toContain('type find = ')
    expect(text).not.toContain('type search = ')
    expect(text).not.toContain('## python')
  })

  it('a description of the client’s own is told as it is', () => {
    const own = { ...python, description: 'Runs on the moon.' }
    expect(prompt({ tools: [own] })).toContain('## python\n\nRuns on the moon.\n\n# Valid channels')
  })

  it.each([
    ['a function of that name', { ...now, name: 'python' }, 'type python = '],
    [
      'a namespace with other functions',
      { type: 'namespace', name: 'browser', tools: [{ ...now, name: 'click' }] },
      'type browser__click = ',
    ],
    ['a freeform tool of another name', { type: 'custom', name: 'ruby' }, 'type ruby = '],
  ])('%s is an ordinary function', (_name, tool, shown) => {
    const text = prompt({ tools: [tool] })
    expect(text).toMatch(/<\|start\|>system.*channel: 'functions'\.<\|end\|>/s)
    expect(text.slice(text.indexOf('<|start|>developer'))).toContain(shown)
  })
})

const { signal } = new AbortController()

function responder(...scripts: Script[]) {
  const engine = new ScriptedEngine(...scripts)
  const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
  const now = () => Date.UTC(2025, 5, 28, 12)
  return { engine, responder: new Responder({ engine, model: 'm', now, newId }) }
}

async function answer(script: Script, tools: unknown[]) {
  const request = parseResponsesRequest({ model: 'm', input: 'Hi', tools })
  const made = responder(script)
  const response = await made.responder.respond(request, { stream: true, signal })
  const events = await readEvents(response)
  const last = events.at(-1)!
  if (!('response' in last)) throw new Error(`ended with ${last.type}`)
  const whole = await responder(script).responder.respond(request, { stream: false, signal })
  const { output } = (await whole.json()) as ResponseObject
  const plain = (items: ResponseObject['output']) =>
    items.map(({ id: _, ...item }) => ({ ...item, call_id: '' }))
  expect(plain(last.response.output)).toEqual(plain(output))
  return { events, response: last.response, output: last.response.output }
}

const think = '<|channel|>analysis<|message|>Compute.<|end|><|start|>assistant'
const code = 'for i in "aé😀\\n":\n\tprint(f"{i}")\n'

describe('in the answer', () => {
  it.each([
    ['as trained', `${think}<|channel|>analysis to=python code<|message|>${code}<|call|>`],
    ['recipient first', `${think} to=python<|channel|>analysis code<|message|>${code}<|call|>`],
    ['on the other channel', `<|channel|>commentary to=python<|message|>${code}<|call|>`],
    ['as a function', `<|channel|>commentary to=functions.python<|message|>${code}<|call|>`],
    [
      'as JSON',
      `<|channel|>analysis to=python <|constrain|>json<|message|>${JSON.stringify({ code })}<|call|>`,
    ],
  ])('a call of Python is a custom tool call, written %s', async (_name, text) => {
    const { events, output } = await answer({ text }, [python])
    expect(output.at(-1)).toMatchObject({
      type: 'custom_tool_call',
      name: 'python',
      input: code,
      status: 'completed',
    })
    const deltas = events.flatMap((event) =>
      event.type === 'response.custom_tool_call_input.delta' ? [event.delta] : [],
    )
    expect(deltas.join('')).toBe(code)
    if (!text.includes('json')) expect(deltas.length).toBeGreaterThan(3)
  })

  it('code that only begins like JSON stays what it is', async () => {
    const text = '<|channel|>analysis to=python code<|message|>{"a": 1}["a"]<|call|>'
    const { output } = await answer({ text }, [python])
    expect(output.at(-1)).toMatchObject({ type: 'custom_tool_call', input: '{"a": 1}["a"]' })
  })

  it('code that is cut is an incomplete call with what there is of it', async () => {
    const text = '<|channel|>analysis to=python code<|message|>print(1'
    const { response, output } = await answer({ text, finish: 'length' }, [python])
    expect(response.status).toBe('incomplete')
    expect(output).toMatchObject([{ input: 'print(1', status: 'incomplete' }])
  })

  it.each(['to=browser.search code', 'to=functions.browser.search <|constrain|>json'])(
    'a call of the browser is a function call of its namespace: %s',
    async (header) => {
      const text = `${think}<|channel|>analysis ${header}<|message|>{"query":"x"}<|call|>`
      const { output } = await answer({ text }, [browser])
      expect(output.at(-1)).toMatchObject({
        type: 'function_call',
        namespace: 'browser',
        name: 'search',
        arguments: '{"query":"x"}',
        status: 'completed',
      })
    },
  )

  it('a built-in tool that was not offered is none: the model is told so', async () => {
    const stray = '<|channel|>analysis to=python code<|message|>1+1<|call|>'
    const made = responder({ text: stray }, { text: '<|channel|>final<|message|>2<|return|>' })
    const request = parseResponsesRequest({ model: 'm', input: 'Hi', tools: [browser] })
    const response = await made.responder.respond(request, { stream: false, signal })
    const { output } = (await response.json()) as ResponseObject
    expect(output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
  })

  it('a call that comes back is the very tokens of the model, whatever header it chose', async () => {
    const call = '<|channel|>commentary to=python<|message|>1+1<|call|>'
    const made = responder({ text: call }, { text: '<|channel|>final<|message|>2<|return|>' })
    const request = { model: 'm', input: [{ role: 'user', content: 'Hi' }], tools: [python] }
    const first = await made.responder.respond(parseResponsesRequest(request), {
      stream: false,
      signal,
    })
    const { output } = (await first.json()) as ResponseObject
    const [item] = output
    if (item?.type !== 'custom_tool_call') throw new Error('no call')
    const result = { type: 'custom_tool_call_output', call_id: item.call_id, output: '2' }
    const input = [...request.input, item, result]
    await made.responder.respond(parseResponsesRequest({ ...request, input }), {
      stream: false,
      signal,
    })
    const [before, after] = made.engine.calls.map(({ prompt }) => prompt)
    const { vocabulary } = made.engine
    const text = (ids: readonly number[]) =>
      Buffer.concat(ids.map((id) => vocabulary.tokenBytes(id))).toString()
    expect(after?.slice(0, before?.length)).toEqual(before)
    expect(text(after?.slice(before?.length) ?? [])).toBe(
      `${call}<|start|>python to=assistant<|channel|>commentary<|message|>2<|end|><|start|>assistant`,
    )
  })
})

describe('CodeArguments', () => {
  it('are JSON with the code as it was written, however it is cut into pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (pieces) => {
        const args = new CodeArguments()
        const written = pieces.map((piece) => args.push(piece)).join('') + args.end()
        expect(args.text).toBe(written)
        const code = pieces.join('')
        // Text that is an object with one string is read as such; no such text is made here.
        expect(JSON.parse(written)).toEqual({ input: code })
      }),
    )
  })
})
