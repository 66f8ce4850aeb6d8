import { describe, expect, it } from 'vitest'
import { chatToResponses } from '../../../src/convert/chat-request.ts'
import { type ChatRequest, parseChatRequest } from '../../../src/protocol/chat.ts'
import { chatPath, findParts } from '../../../src/routing/modalities.ts'

const image = { type: 'image_url', image_url: { url: 'data:,' } }
const text = { type: 'text', text: 'see' }
const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })

function pathsOf(messages: unknown[]): string[] {
  const chat: ChatRequest = parseChatRequest({ model: 'm', messages })
  const request = chatToResponses(chat)
  return findParts(request).map((part) => chatPath(request, part.path))
}

describe('paths of parts', () => {
  it('are those of the canonical request', () => {
    const input = [
      { role: 'user' as const, content: 'hi' },
      {
        type: 'function_call_output' as const,
        call_id: 'c',
        output: [{ type: 'input_file' as const, file_id: 'f' }],
      },
    ]
    expect(findParts({ input })).toEqual([
      { modality: 'file', type: 'input_file', path: 'input[1].output[0]' },
    ])
    expect(findParts({ input: 'hi' })).toEqual([])
  })

  it('are told to a Chat client as it wrote them', () => {
    expect(pathsOf([{ role: 'user', content: [text, image] }])).toEqual(['messages[0].content[1]'])
  })

  it('count an assistant message once, however many items it became', () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'a', reasoning: 'r', tool_calls: [call('1'), call('2')] },
      { role: 'tool', tool_call_id: '1', content: 'x' },
      { role: 'tool', tool_call_id: '2', content: 'y' },
      { role: 'assistant', content: 'b' },
      { role: 'assistant', content: 'c', reasoning: 'r' },
      { role: 'user', content: [text, image, image] },
    ]
    expect(pathsOf(messages)).toEqual(['messages[7].content[1]', 'messages[7].content[2]'])
  })
})
