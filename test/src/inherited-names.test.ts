// Names that every object inherits, where clients and upstreams choose the names: none is found in a table of ours.
import { expect, it } from 'vitest'
import { chatParam } from '../../src/convert/chat-request.ts'
import { storedItems } from '../../src/faces/turn.ts'
import { collectChat } from '../../src/index.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'
import { chatAdapter } from '../../src/providers/chat-quirks.ts'
import { findParts } from '../../src/routing/modalities.ts'
import { ResponseFold } from '../../src/stream/fold.ts'

const names = ['constructor', 'toString', 'hasOwnProperty', '__proto__']

it.each(names)("the tool '%s' of a namespace is of a kind that nobody knows", (type) => {
  const tools = [{ type: 'namespace', name: 'shop', tools: [{ type, name: 'buy' }] }]
  expect(parseResponsesRequest({ model: 'm', input: 'hi', tools }).tools).toEqual(tools)
})

it.each(names)("a part of type '%s' has no modality", (type) => {
  const message = { type: 'message' as const, role: 'user' as const, content: [{ type }] }
  expect(findParts({ input: [message] } as unknown as Parameters<typeof findParts>[0])).toEqual([])
})

it.each(names)("an item of type '%s' is kept under an id of no kind", (type) => {
  expect(storedItems([{ type }], (prefix) => `${prefix}_1`)).toEqual([{ type, id: 'item_1' }])
})

it.each(names)("the field '%s', at fault upstream, keeps its name", (param) => {
  expect(chatParam({ model: 'm', messages: [] }, param)).toBe(param)
})

it.each(names)("the effort '%s' is told to gpt-oss as it is", (reasoning_effort) => {
  const given = { model: 'gpt-oss-20b', reasoning_effort }
  expect(chatAdapter({})(given, 'chat').body).toEqual(given)
})

it.each(names)("events of '%s' change no item", (name) => {
  const fold = new ResponseFold()
  fold.push({ type: 'response.created', response: { id: 'r', output: [] } })
  const item = { type: 'message', id: 'm' }
  fold.push({ type: 'response.output_item.added', output_index: 0, item })
  fold.push({ type: `${name}.delta`, output_index: 0, delta: 'x' })
  expect(fold.response?.output).toEqual([item])
})

it.each(names.slice(0, 3))("what a chunk says of '%s' is kept", (name) => {
  const delta = { content: 'hi', [name]: ['a'] }
  const chunk = { [name]: 'x', choices: [{ index: 0, delta, finish_reason: 'stop' }] }
  const { choices, ...head } = collectChat([chunk, chunk])
  expect(Object.entries(head)).toContainEqual([name, 'x'])
  expect(Object.entries(choices[0]?.message ?? {})).toContainEqual([name, ['a', 'a']])
})
