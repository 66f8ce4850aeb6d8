// The gateway's Worker in workerd on this machine, through miniflare: the same bundle that is deployed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type Config, parseConfig, secretNames } from '../../src/config/index.ts'
import { CommandError } from './command.ts'

const worker = fileURLToPath(new URL('../../build/worker/index.js', import.meta.url))

/** Same as in wrangler.toml; test/cli/gateway-process.test.ts holds them together. */
export const compatibility = {
  date: '2026-07-30',
  flags: ['enable_request_signal', 'global_fetch_strictly_public'],
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
  const document = readConfig()
  // Refused here, with the path of the bad field, before workerd starts.
  const config = parseConfig(document?.json, document?.path ?? 'built-in configuration')
  const bindings: Record<string, string> = {
    ...secrets(config),
    [config.nodes.tokenEnv]: options.token,
    ...(keys ? { SWITCHYARD_KEYS: keys } : { SWITCHYARD_OPEN: 'loopback' }),
    ...(document ? { SWITCHYARD_CONFIG: document.json } : {}),
    ...(options.expectNode ? { SWITCHYARD_EXPECT_NODE: '1' } : {}),
  }
  const before = stopListeners()
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
    // By content: workerd refuses module paths outside the folder that it was started in.
    modules: [{ type: 'ESModule', path: 'index.js', contents: readFileSync(worker, 'utf8') }],
    compatibilityDate: compatibility.date,
    compatibilityFlags: compatibility.flags,
    bindings,
    durableObjects: { NODE_HUB: { className: 'NodeHub', useSQLite: true } },
  })
  // Miniflare ends the whole process at SIGINT and SIGTERM, in the middle of what we do then: the caller disposes of it.
  for (const [signal, listeners] of stopListeners()) {
    for (const listener of listeners)
      if (!before.get(signal)?.includes(listener)) process.off(signal, listener)
  }
  await miniflare.ready
  return { open: !keys, stop: () => miniflare.dispose() }
}

function stopListeners() {
  return new Map(
    (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => [signal, process.listeners(signal)]),
  )
}

/** The configuration document's text and where it stands; undefined when there is none. */
export function readConfig(): { json: string; path: string } | undefined {
  const named = process.env.SWITCHYARD_CONFIG_FILE
  const path = named || join(process.cwd(), 'switchyard.json')
  if (!named && !existsSync(path)) return undefined
  try {
    return { json: readFileSync(path, 'utf8'), path }
  } catch (error) {
    throw new CommandError(
      `The configuration ${path} cannot be read: ${error instanceof Error ? error.message : error}`,
    )
  }
}

/** What the configuration reads from the environment, as far as it is set here. */
function secrets(config: Config): Record<string, string> {
  const entries = secretNames(config).flatMap((name) => {
    const value = process.env[name]
    return value ? [[name, value] as const] : []
  })
  return Object.fromEntries(entries)
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
