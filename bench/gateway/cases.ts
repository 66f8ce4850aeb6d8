// What is compared: groups of targets that take turns, the first of each being the floor that the others are divided by.

/** Which process answers. */
export type Server = 'pass' | 'gateway' | 'one-write' | 'least' | 'peer'

export interface Case {
  name: string
  server: Server
  path: string
  body: object
  /** Of `least`: how many of its steps it takes. */
  steps?: number
  /** Each request has an Idempotency-Key of its own. */
  keyed?: boolean
}

export interface Group {
  name: string
  /** Chunks of an answer; 0: not streamed. */
  chunks: number
  /** A round's requests, as a part of those of the shortest. */
  share: number
  cases: Case[]
}

const question = 'Tell me about the history of railway signalling in two paragraphs.'
const messages = [{ role: 'user', content: question }]

type Dialect = 'chat' | 'responses'

function ask(server: Server, from: Dialect, to: Dialect, model: string, fields: object = {}): Case {
  const body = from === 'chat' ? { messages } : { input: question, store: false }
  const name =
    server === 'gateway'
      ? `gateway, ${from} → ${to}`
      : server === 'pass'
        ? `pass-through, ${from}`
        : server
  const id = server === 'gateway' ? `${model}:${to}-api` : model
  const path = from === 'chat' ? '/v1/chat/completions' : '/v1/responses'
  return { name, server, path, body: { model: id, ...body, ...fields } }
}

function burst(chunks: number, share: number): Group {
  const model = `burst-${chunks}`
  const stream = { stream: true }
  const usage = { stream: true, stream_options: { include_usage: true } }
  return {
    name: `burst of ${chunks} chunks`,
    chunks,
    share,
    cases: [
      ask('pass', 'chat', 'chat', model, stream),
      ask('gateway', 'chat', 'chat', model, usage),
      ask('gateway', 'responses', 'chat', model, stream),
      { ...ask('one-write', 'responses', 'chat', model, stream), name: 'a write for each chunk' },
      { ...ask('peer', 'chat', 'chat', model, stream), name: 'Portkey, chat → chat' },
    ],
  }
}

/** As where there is more than one place: the gateway reads a stream, its client gets one piece. */
function folded(model: string, name: string): Case {
  const asked = ask('gateway', 'chat', 'chat', model)
  return { ...asked, name, body: { ...asked.body, model: `${model}:folded-api` } }
}

/** What `least.js` adds with each of its steps. */
const leastSteps = [
  'both bodies parsed',
  '+ request checked, UTF-8',
  '+ stops when the client leaves',
  '+ a deadline',
  '+ key and headers up, answer checked',
  '+ headers of the answer',
]

export const groups: Group[] = [
  {
    name: 'not streamed, 300 tokens',
    chunks: 0,
    share: 1,
    cases: [
      ask('pass', 'chat', 'chat', 'burst-300'),
      ask('gateway', 'chat', 'chat', 'burst-300'),
      ask('gateway', 'responses', 'chat', 'burst-300'),
      {
        ...ask('gateway', 'responses', 'chat', 'burst-300', { store: true }),
        name: 'gateway, responses → chat, stored',
      },
      {
        ...ask('gateway', 'chat', 'chat', 'burst-300'),
        name: 'gateway, chat → chat, with a key of its own',
        keyed: true,
      },
      { ...ask('peer', 'chat', 'chat', 'burst-300'), name: 'Portkey, chat → chat' },
    ],
  },
  {
    name: 'not streamed, request of 100 KiB',
    chunks: 0,
    share: 0.2,
    cases: [
      ask('pass', 'responses', 'responses', 'burst-300', agentTurn()),
      ask('gateway', 'responses', 'chat', 'burst-300', agentTurn()),
    ],
  },
  {
    name: 'not streamed, asked for as a stream',
    chunks: 0,
    share: 0.1,
    cases: [
      ask('pass', 'chat', 'chat', 'burst-300'),
      ask('gateway', 'chat', 'chat', 'burst-300'),
      folded('burst-300', 'a burst of 300 chunks'),
      folded('paced-64-5', '64 chunks, one every 5 ms'),
    ],
  },
  {
    name: 'the least converter, step by step',
    chunks: 0,
    share: 1,
    cases: [
      ask('pass', 'chat', 'chat', 'burst-300'),
      ...leastSteps.map((name, at) => ({
        ...ask('least', 'chat', 'chat', 'burst-300'),
        name,
        steps: at + 1,
      })),
      ask('gateway', 'chat', 'chat', 'burst-300'),
    ],
  },
  burst(300, 0.1),
  burst(1000, 0.03),
  {
    name: 'burst of 300 chunks, Responses upstream',
    chunks: 300,
    share: 0.1,
    cases: [
      ask('pass', 'responses', 'responses', 'burst-300', { stream: true }),
      ask('gateway', 'responses', 'responses', 'burst-300', { stream: true }),
    ],
  },
  {
    name: '64 chunks, one every 5 ms',
    chunks: 64,
    share: 0.03,
    cases: [
      ask('pass', 'chat', 'chat', 'paced-64-5', { stream: true }),
      ask('gateway', 'chat', 'chat', 'paced-64-5', { stream: true }),
      ask('gateway', 'responses', 'chat', 'paced-64-5', { stream: true }),
    ],
  },
]

/** Streams that are held open: each in a worker of its own, so that its memory is theirs. */
export const held: Case[] = [
  ask('pass', 'chat', 'chat', 'paced-8-500', { stream: true }),
  ask('gateway', 'chat', 'chat', 'paced-8-500', { stream: true }),
  ask('gateway', 'responses', 'chat', 'paced-8-500', { stream: true }),
]

/** A coding agent's turn in the middle of its work: instructions, tools, and what it has said, called and been told. */
function agentTurn(): object {
  const text =
    'Read `const x = "value"` in src/app.ts, then return\n  each item with its id, type and status.\n'
  const parameter = { type: 'string', description: 'What to do it with.' }
  const properties = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`p${at}`, parameter]))
  const parameters = { type: 'object', properties, required: ['p0'], additionalProperties: false }
  const tools = Array.from({ length: 12 }, (_, at) => ({
    type: 'function',
    name: `tool_${at}`,
    description: text.repeat(4),
    strict: false,
    parameters,
  }))
  const turn = (at: number) => [
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: text.repeat(3) }] },
    { type: 'reasoning', id: `rs_${at}`, summary: [], content: [{ type: 'reasoning_text', text }] },
    { type: 'function_call', call_id: `call_${at}`, name: 'tool_1', arguments: '{"p0":"ls"}' },
    { type: 'function_call_output', call_id: `call_${at}`, output: text.repeat(10) },
    {
      type: 'message',
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [] }],
    },
  ]
  return {
    instructions: text.repeat(100),
    input: Array.from({ length: 40 }, (_, at) => turn(at)).flat(),
    tools,
    parallel_tool_calls: false,
    reasoning: { effort: 'medium' },
    prompt_cache_key: 'bench',
  }
}
