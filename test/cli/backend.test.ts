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
  expect(localId(folder)).toBe(id)
  expect(nodeModelSchema.shape.id.safeParse(id).success).toBe(true)
})
