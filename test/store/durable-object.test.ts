// The store in a Durable Object of real workerd: the common contract, and what its object must survive.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import { compatibility, durableObjects } from '../../native-node/cli/gateway-process.ts'
import { ApiError, isErrorCode } from '../../src/errors.ts'
import type { Store, Turn } from '../../src/store/store.ts'
import { describeStore, type Management, type Step } from '../contract/store.ts'

async function script(): Promise<string> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL('worker.mjs', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
  })
  return result.outputFiles[0]?.text ?? ''
}

describeStore('a Durable Object', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-objects-'))
  const contents = await script()
  const start = async () => {
    const miniflare = new Miniflare({
      host: '127.0.0.1',
      port: 0,
      cf: false,
      modules: [{ type: 'ESModule', path: 'index.js', contents }],
      compatibilityDate: compatibility.date,
      compatibilityFlags: compatibility.flags,
      durableObjects,
      durableObjectsPersist: folder,
    })
    return { miniflare, origin: (await miniflare.ready).origin }
  }
  let running = await start()

  const post = (path: string, body: object) =>
    fetch(running.origin + path, { method: 'POST', body: JSON.stringify(body) })
  const failure = async (response: Response) => {
    const body = (await response.json()) as {
      error: { code: unknown; message: string; param: null }
    }
    const { code, message, param } = body.error
    return new ApiError(isErrorCode(code) ? code : 'server_error', message, { param })
  }
  const call = async (tenant: string, path: string[], args: unknown[]) => {
    const response = await post('/call', { tenant, path, args })
    if (!response.ok) throw await failure(response)
    const { value } = (await response.json()) as { value?: unknown }
    return path[0] === 'items' ? new Map((value as { map: [string, unknown][] }).map) : value
  }
  /** An object whose every method asks the Worker for the same one. */
  const calls = <T extends object>(tenant: string, path: string[], own: Partial<T> = {}): T =>
    new Proxy(own as T, {
      get: (target, name) =>
        Reflect.get(target, name) ??
        (name === 'then'
          ? undefined
          : (...args: unknown[]) => call(tenant, [...path, String(name)], args)),
    })

  return {
    tenant: (tenant: string): Management =>
      calls<Management>(tenant, [], {
        conversations: calls<Store['conversations']>(tenant, ['conversations']),
        keys: calls<Store['keys']>(tenant, ['keys']),
        async events(id: string, after: number) {
          const response = await post('/events', { tenant, id, after })
          if (!response.ok) throw await failure(response)
          const type = response.headers.get('content-type') ?? ''
          if (!type.startsWith('text/event-stream')) {
            const { log } = (await response.json()) as { log: string }
            return log === 'none' ? 'none' : undefined
          }
          if (response.body === null) return undefined
          return { body: response.body, truncated: response.headers.has('x-truncated') }
        },
      }),
    async record(tenant: string, turn: Turn, steps: (id: string) => Step[]) {
      const response = await post('/begin', { tenant, turn, steps: steps('resp_to_be') })
      if (!response.ok) throw await failure(response)
      return ((await response.json()) as { id?: string }).id
    },
    async restart() {
      await running.miniflare.dispose()
      running = await start()
    },
    async stop() {
      await running.miniflare.dispose()
      rmSync(folder, { recursive: true })
    },
  }
})
