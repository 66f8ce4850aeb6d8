// The gateway as it is deployed: bundled, in workerd, asked over a real socket.
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import OpenAI from 'openai'
import { compatibility, durableObjects } from '../../native-node/cli/gateway-process.ts'

const entry = fileURLToPath(new URL('../../gateway/index.ts', import.meta.url))
let bundle: Promise<string> | undefined

/** The Worker's one module. */
export function bundleWorker(): Promise<string> {
  bundle ??= build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
  }).then((result) => result.outputFiles[0]?.text ?? '')
  return bundle
}

export interface GatewayOptions {
  /** The config document. */
  config?: object
  /** Bindings beside the config. `SWITCHYARD_OPEN: 'loopback'` unless keys or `closed` are given. */
  bindings?: Record<string, string>
  closed?: boolean
  /** Folder that outlives the gateway. */
  persist?: string
  /** `false`: the deployment has no response store. */
  store?: false
  /** Analytics Engine: `told` writes its points to the log; `simulated` is miniflare's own, which forgets them. */
  analytics?: 'told' | 'simulated'
}

export interface TestGateway {
  url: string
  port: number
  /** Asks a path of the gateway. */
  ask(path: string, init?: RequestInit): Promise<Response>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>
  openai(apiKey?: string): OpenAI
  /** Takes a Durable Object out of memory, as the platform does when it likes. */
  evict(className: string, name: string): Promise<void>
  /** What the Worker wrote to its log. */
  log: string[]
  stop(): Promise<void>
}

/** In place of Analytics Engine: a line of the log for each point. */
const analyticsTold = {
  name: 'analytics',
  modules: true,
  script: `export default () => ({
    writeDataPoint(point) { console.log('point ' + JSON.stringify(point)) },
  })`,
}

/** Starts the gateway on a free port of loopback. */
export async function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  process.env.CLOUDFLARE_CF_FETCH_ENABLED = 'false'
  const log: string[] = []
  const open = !options.closed && options.bindings?.SWITCHYARD_KEYS === undefined
  const worker = {
    name: 'gateway',
    modules: [{ type: 'ESModule', path: 'index.js', contents: await bundleWorker() }],
    compatibilityDate: compatibility.date,
    compatibilityFlags: compatibility.flags,
    bindings: {
      ...(open ? { SWITCHYARD_OPEN: 'loopback' } : {}),
      ...(options.config === undefined
        ? {}
        : // No test asks beyond loopback, whatever keys it sets.
          { SWITCHYARD_CONFIG: JSON.stringify({ modelMapping: 'off', ...options.config }) }),
      ...options.bindings,
    },
    durableObjects:
      options.store === false ? { NODE_HUB: durableObjects.NODE_HUB } : durableObjects,
    ...(options.analytics === 'told' ? { wrappedBindings: { ANALYTICS: 'analytics' } } : {}),
    ...(options.analytics === 'simulated'
      ? { analyticsEngineDatasets: { ANALYTICS: { dataset: 'requests' } } }
      : {}),
  }
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    handleRuntimeStdio(stdout: Readable, stderr: Readable) {
      for (const stream of [stdout, stderr]) {
        stream.setEncoding('utf8')
        stream.on('data', (text: string) => log.push(text))
      }
    },
    workers: options.analytics === 'told' ? [worker, analyticsTold] : [worker],
    ...(options.persist === undefined ? {} : { durableObjectsPersist: options.persist }),
  })
  const { origin, port } = await miniflare.ready
  const ask = (path: string, init?: RequestInit) => fetch(origin + path, init)
  return {
    url: origin,
    port: Number(port),
    ask,
    post: (path, body, headers) =>
      ask(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    openai: (apiKey = 'unused') => new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 }),
    evict: (className, name) => miniflare.unsafeEvictDurableObject('gateway', className, { name }),
    log,
    stop: () => miniflare.dispose(),
  }
}
