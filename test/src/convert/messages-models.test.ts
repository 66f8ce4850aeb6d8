import type Anthropic from '@anthropic-ai/sdk'
import { expect, it } from 'vitest'
import { modelsToMessages } from '../../../src/convert/messages-models.ts'

it('a model is described in every field that Anthropic’s clients know', () => {
  const model: Anthropic.ModelInfo = {
    type: 'model',
    id: 'm',
    display_name: 'm',
    created_at: '1970-01-01T00:00:07.000Z',
    max_input_tokens: 4096,
    max_tokens: null,
    capabilities: null,
    line: null,
    lifecycle: 'active',
    deprecated_at: null,
    retires_at: null,
  }
  const listed = { id: 'm', created: 7, providers: [{ context_length: 4096 }, {}] }
  expect(modelsToMessages({ data: [listed] })).toMatchObject({ data: [model] })
})
