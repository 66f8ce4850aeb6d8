import { expect, it } from 'vitest'
import { localId } from '../../native-node/cli/backend.ts'
import { nodeModelSchema } from '../../src/tunnel/messages.ts'

it.each([
  ['/models/gpt-oss-20b', 'local/gpt-oss-20b'],
  ['/models/mö del (1)', 'local/mo-del-1-'],
  ['/models/模型', 'local/-'],
  ['/', 'local/model'],
  [`/${'a'.repeat(255)}`, `local/${'a'.repeat(200)}`],
])('names the model in %s so that a gateway takes it', (folder, id) => {
  expect(localId({ kind: 'safetensors', path: folder })).toBe(id)
  expect(nodeModelSchema.shape.id.safeParse(id).success).toBe(true)
})

it.each([
  ['/models/gpt-oss-20b-mxfp4.gguf', 'local/gpt-oss-20b-mxfp4'],
  ['/models/gpt-oss-120b-00001-of-00003.gguf', 'local/gpt-oss-120b'],
  ['/blobs/sha256-e7b2', 'local/sha256-e7b2'],
])('names the model in the file %s without its ending', (path, id) => {
  expect(localId({ kind: 'gguf', path })).toBe(id)
})
