// The demo model behind a real socket, and the official SDK before it.
import OpenAI from 'openai'
import { loadNodeEngine, type NodeEngine } from '../../native-node/server/engine.ts'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { listen } from '../../native-node/server/listen.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'

export const demoDir = new URL('../../models/demo', import.meta.url).pathname

export interface ServedDemo {
  engine: NodeEngine
  openai: OpenAI
  close(): Promise<void>
}

/** Serves the demo model as `model`, in mode `exact`. */
export async function serveDemo(model: string): Promise<ServedDemo> {
  const engine = await loadNodeEngine({
    modelDir: demoDir,
    mode: 'exact',
    threads: 1,
    maxSequences: 4,
  })
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const { fetch } = createNodeApi({ backend })
  const listening = await listen({ fetch, host: '127.0.0.1', port: 0, keyed: false })
  const openai = new OpenAI({ baseURL: `${listening.url}/v1`, apiKey: 'none', maxRetries: 0 })
  return {
    engine,
    openai,
    async close() {
      await listening.close(true)
      await engine.close()
    },
  }
}
