import { expect, it } from 'vitest'
import { findParts } from '../../../src/routing/modalities.ts'

it('finds what is not text, in messages and in outputs of tools, with its path', () => {
  const input = [
    { role: 'user' as const, content: 'hi' },
    {
      role: 'user' as const,
      content: [
        { type: 'input_text' as const, text: 'see' },
        { type: 'input_image' as const, image_url: 'data:,' },
      ],
    },
    {
      type: 'function_call_output' as const,
      call_id: 'c',
      output: [{ type: 'input_file' as const, file_id: 'f' }],
    },
  ]
  expect(findParts({ input })).toEqual([
    { modality: 'image', type: 'input_image', path: 'input[1].content[1]' },
    { modality: 'file', type: 'input_file', path: 'input[2].output[0]' },
  ])
  expect(findParts({ input: 'hi' })).toEqual([])
})
