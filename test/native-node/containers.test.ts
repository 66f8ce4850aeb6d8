// The Containers API of `switchyard serve`, with the real Python.
import { listen } from '../../native-node/server/listen.ts'
import { createNodeApi } from '../../native-node/server/local-api.ts'
import { connectUpstream } from '../../native-node/server/upstream-node.ts'
import { createToolHost } from '../../native-node/tools/host.ts'
import { createPythonTool } from '../../native-node/tools/python/index.ts'
import { calling, containersContract } from '../contract/containers.ts'
import { startUpstream } from '../gateway/upstream.ts'

const key = 'sy_serve-test-key'

containersContract('switchyard serve', async () => {
  const upstream = await startUpstream()
  calling(upstream, [])
  const backend = await connectUpstream({ url: upstream.origin })
  const tools = createToolHost({ tools: [createPythonTool({ memoryMiB: 1024 })] })
  const api = createNodeApi({ backend, tools, key })
  const { fetch } = api
  const server = await listen({ fetch, host: '127.0.0.1', port: 0, keyed: true })
  return {
    base: server.url,
    key,
    model: 'model',
    upstream,
    async stop() {
      await server.close(true)
      await tools.close()
      await upstream.stop()
    },
  }
})
