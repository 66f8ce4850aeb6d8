import { describe, expect, it } from 'vitest'
import { chatParam, chatToResponses } from '../../../src/convert/chat-request.ts'
import { responsesToChat } from '../../../src/convert/request.ts'
import { ApiError } from '../../../src/errors.ts'
import { parseChatRequest } from '../../../src/protocol/chat.ts'
import { parseResponsesRequest } from '../../../src/protocol/responses.ts'
import { findParts } from '../../../src/routing/modalities.ts'

const url = 'https://media.example/a.mp4'
const chatWith = (part: unknown) =>
  parseChatRequest({ model: 'm', messages: [{ role: 'user', content: [part] }] })

describe('the grammar of a freeform tool', () => {
  it('is named as a Chat client wrote it', () => {
    const at = chatParam(chatWith({ type: 'text', text: 'Hi' }), 'tools[2].format.definition')
    expect(at).toBe('tools[2].custom.format.grammar.definition')
  })
})

describe('a video', () => {
  const said = { type: 'video_url', video_url: { url }, fps: 2 }
  const meant = { type: 'input_video', video_url: url, fps: 2 }

  it('of a Chat client is input_video, and counts as one where places are chosen', () => {
    const request = chatToResponses(chatWith(said))
    expect(request.input).toMatchObject([{ role: 'user', content: [meant] }])
    const at = chatParam(chatWith(said), 'input[0].content[0].video_url')
    expect(at).toBe('messages[0].content[0].video_url.url')
    expect(findParts(request)).toMatchObject([{ modality: 'video', path: 'input[0].content[0]' }])
  })

  it('of a Responses client is video_url for a Chat provider', () => {
    const input = [{ role: 'user', content: [meant] }]
    const { body } = responsesToChat(parseResponsesRequest({ model: 'm', input }))
    expect(body.messages).toEqual([{ role: 'user', content: [said] }])
  })
})

describe('a part that Chat Completions does not have', () => {
  function refusal(type: string): ApiError {
    try {
      chatToResponses(chatWith({ type, text: 'hi' }))
    } catch (thrown) {
      if (thrown instanceof ApiError) return thrown
    }
    throw new Error('nothing was refused')
  }

  it('is refused by its place, with the name that it has there', () => {
    expect(refusal('input_text')).toMatchObject({
      status: 400,
      param: 'messages[0].content[0].type',
      message:
        "Content parts of type 'input_text' are not known ('messages[0].content[0].type'). In Chat Completions it is 'text'.",
    })
    expect(refusal('constructor').message).toBe(
      "Content parts of type 'constructor' are not known ('messages[0].content[0].type').",
    )
  })
})
