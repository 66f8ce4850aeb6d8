// Python's openai against the gateway. Opt-in, as it needs a Python that can import it:
//   PYTHON=/path/to/python npx vitest run test/clients/python.test.ts
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { features } from './features.ts'
import { type Answer, event, model, scene, weather } from './scene.ts'

const python = process.env.PYTHON
const script = fileURLToPath(new URL('./openai_client.py', import.meta.url))
const calls = ['Rome', 'Paris'].map((city) => ({ name: weather.name, arguments: { city } }))

/** The row, the script's word for it, what the model answers, what comes out. */
type Case = [string, string, Answer[], unknown]
const both: Case[] = [
  [features.text, 'text', [{ text: 'Hello!' }], 'Hello!'],
  [
    features.textStreamed,
    'text_streamed',
    [{ text: 'Hello there!' }],
    [['Hello', ' there!'], 'Hello there!'],
  ],
  [features.reasoning, 'reasoning', [{ reasoning: 'Hm.', text: 'Hello!' }], 'Hm.'],
  [
    features.reasoningStreamed,
    'reasoning_streamed',
    [{ reasoning: 'A plain greeting.', text: 'Hello!' }],
    'A plain greeting.',
  ],
  [features.usage, 'usage', [{ text: 'Hello!' }], 18],
  [features.toolLoop, 'tool_loop', [{ calls: calls.slice(1) }, { text: 'Sunny.' }], 'Sunny.'],
  [features.parallelCalls, 'parallel_calls', [{ calls }], ['{"city":"Rome"}', '{"city":"Paris"}']],
  [features.structured, 'structured', [{ text: JSON.stringify(event) }], event],
  [
    features.clientError,
    'client_error',
    [],
    { status: 400, code: 'invalid_value', param: 'temperature' },
  ],
  [
    features.upstreamError,
    'upstream_error',
    [{ status: 429 }],
    { status: 429, code: 'rate_limit_exceeded', param: null },
  ],
  [
    features.brokenStream,
    'broken_stream',
    [{ text: 'Half of an answer', after: 'break' }],
    ['error', 'upstream_error'],
  ],
]
const stateful: Case[] = [
  [features.stored, 'stored', [{ text: 'Hello!' }], ['Hello!', ['Hi']]],
  [features.continuation, 'continuation', [{ text: 'Hello!' }, { text: 'Well.' }], 'Well.'],
]

describe.skipIf(!python)('opt-in: PYTHON names the program', () => {
  const on = scene()

  function run(api: string, feature: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const words = [script, on.baseURL, model, api, feature]
      execFile(String(python), words, (error, stdout, stderr) => {
        if (error) reject(new Error(stderr))
        else resolve(JSON.parse(stdout))
      })
    })
  }

  describe.each<[string, string, Case[]]>([
    ['Python openai, Responses', 'responses', [...both, ...stateful]],
    ['Python openai, Chat', 'chat', both],
  ])('%s', (_, api, cases) => {
    it.each(cases)('%s', async (_, feature, answers, expected) => {
      on.answers(...answers)
      expect(await run(api, feature)).toEqual(expected)
    })
  })
})
