// The contract over the whole way in real workerd: Worker, hub, socket, client, handler.
import { afterAll, beforeAll } from 'vitest'
import { channelContract } from '../contract/channel.ts'
import { Hub } from './hub.ts'

let hub: Hub

beforeAll(async () => {
  hub = await Hub.start()
})
afterAll(() => hub.stop())

for (const pump of [false, true]) {
  channelContract(
    pump ? 'hub, read in the Worker' : 'hub, passed on natively by the Worker',
    async (handler) => {
      const client = await hub.join(handler, { name: 'n', slots: 100 })
      return {
        open: (body, signal) =>
          hub.call({ body, query: pump ? { pump: '1' } : {}, ...(signal && { signal }) }),
        cut: () => client.stop(),
        close: async () => {
          client.stop()
          await hub.until((nodes) => nodes.length === 0)
        },
        // As in memory, and the buffers of two sockets, which the kernel sizes.
        heldBytes: 12 * 1_048_576,
      }
    },
    { breaksInvisible: !pump },
  )
}
