import { describe, expect, it } from 'vitest'
import { ConfigError, parseConfig } from '../../../src/config/index.ts'

const parse = (tools: unknown) => parseConfig(JSON.stringify({ tools }), 'switchyard.json').tools
const refusal = (tools: unknown): string => {
  try {
    parse(tools)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('the document was not refused')
}

describe('tools', () => {
  it('are nothing without a document, and what the document says with one', () => {
    expect(parseConfig(undefined, 'none').tools).toEqual({})
    const tools = {
      code_interpreter: { maxSessions: 2, memoryMb: 256 },
      web_search: { backend: 'searxng', url: 'http://127.0.0.1:8888' },
      callSeconds: 10,
      parallelCalls: 2,
    }
    expect(parse(tools)).toEqual(tools)
    expect(parse({ code_interpreter: false })).toEqual({ code_interpreter: false })
  })

  it.each([
    ['tools.web_search.url: is required', { web_search: { backend: 'searxng' } }],
    ['tools.web_search.url: must be an http(s) URL', { web_search: { backend: 'exa', url: 'x' } }],
    ['tools.web_search.backend', { web_search: { backend: 'altavista' } }],
    [
      "tools.web_search.keyEnv: must not be one of the gateway's own",
      { web_search: { backend: 'exa', keyEnv: 'SWITCHYARD_KEYS' } },
    ],
    ['tools.code_interpreter: must be true, false or', { code_interpreter: 'yes' }],
    ['tools.callSeconds', { callSeconds: 0 }],
    ['shell', { shell: true }],
  ])('names the field at fault: %s', (message, tools) => {
    expect(refusal(tools)).toContain(message)
  })
})
