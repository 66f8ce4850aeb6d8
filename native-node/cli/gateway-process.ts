// The gateway's Worker in workerd on this machine, through miniflare: the same bundle that is deployed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { CommandError } from './command.ts'

const worker = fileURLToPath(new URL('../../build/worker/index.js', import.meta.url))

/** Same as in wrangler.toml; test/cli/gateway-process.test.ts holds them together. */
export const compatibility = {
  date: '2026-07-30',
  flags: ['enable_request_signal'],
}

export interface GatewayOptions {
  host: string
  port: number
  /** Secret with which nodes join. */
  token: string
  /** /health is 503 until a node is registered. */
  expectNode: boolean
}

export interface Gateway {
  /** No API keys are needed: bound to loopback and none set. */
  open: boolean
  stop(): Promise<void>
}

/** Starts workerd and resolves when it listens; throws CommandError on a bad configuration. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const keys = process.env.SWITCHYARD_KEYS
  const loopback = isLoopback(options.host)
  if (!keys && !loopback) {
    throw new CommandError(
      `${options.host} is reachable by others and no API keys are set. Set SWITCHYARD_KEYS='{"<tenant>":"sy_…"}' or listen on 127.0.0.1.`,
    )
  }
  // Loaded here and not at the top: miniflare takes 0.4 s that --help need not wait for.
  const { Log, LogLevel, Miniflare } = await import('miniflare')
  class StderrLog extends Log {
    override log(message: string) {
      process.stderr.write(`${message}\n`)
    }
  }
  const config = readConfig()
  const bindings: Record<string, string> = {
    SWITCHYARD_NODE_TOKEN: options.token,
    ...providerKeys(config),
    ...(keys ? { SWITCHYARD_KEYS: keys } : { SWITCHYARD_OPEN: 'loopback' }),
    ...(config === undefined ? {} : { SWITCHYARD_CONFIG: config }),
    ...(options.expectNode ? { SWITCHYARD_EXPECT_NODE: '1' } : {}),
  }
  const miniflare = new Miniflare({
    host: options.host,
    port: options.port,
    cf: false,
    log: new StderrLog(LogLevel.WARN),
    handleRuntimeStdio(stdout: Readable, stderr: Readable) {
      stdout.pipe(process.stderr, { end: false })
      stderr.pipe(process.stderr, { end: false })
    },
    durableObjectsPersist: join(process.cwd(), '.switchyard', 'durable-objects'),
    name: 'switchyard',
    modules: [{ type: 'ESModule', path: worker }],
    compatibilityDate: compatibility.date,
    compatibilityFlags: compatibility.flags,
    bindings,
    durableObjects: { NODE_HUB: { className: 'NodeHub', useSQLite: true } },
  })
  await miniflare.ready
  return { open: !keys, stop: () => miniflare.dispose() }
}

/** The configuration document's text, or undefined when there is none; its content is checked by the Worker. */
export function readConfig(): string | undefined {
  const named = process.env.SWITCHYARD_CONFIG_FILE
  const path = named || join(process.cwd(), 'switchyard.json')
  if (!named && !existsSync(path)) return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new CommandError(
      `The configuration ${path} cannot be read: ${error instanceof Error ? error.message : error}`,
    )
  }
}

/** Keys of providers in this environment: by the naming rule, and those that the configuration names itself. */
function providerKeys(config: string | undefined): Record<string, string> {
  const named = [
    ...(config ?? '').matchAll(/"(?:apiKeyEnv|tokenEnv)"\s*:\s*"([A-Za-z_][A-Za-z0-9_]*)"/g),
  ].map(([, name]) => name)
  const keys: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value && (name === 'HF_TOKEN' || name.endsWith('_API_KEY') || named.includes(name)))
      keys[name] = value
  }
  return keys
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
