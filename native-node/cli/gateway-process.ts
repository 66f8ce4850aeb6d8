// The gateway's Worker in workerd on this machine, through miniflare: the same bundle that is deployed.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import {
  type Config,
  parseConfig,
  parseKeys,
  secretNames,
  sharedBy,
} from '../../src/config/index.ts'
import { workerBundle } from '../server/installation.ts'
import { CommandError } from './command.ts'
import { childrenNamed, endWithThisProcess } from './process-guard.ts'
import { startRelay } from './relay.ts'
import { copyRuntimeLog } from './runtime-log.ts'
import { sealSecret } from './seal-secret.ts'

/** Same as in wrangler.toml; test/cli/gateway-process.test.ts holds them together. */
export const compatibility = {
  date: '2026-07-30',
  flags: ['enable_request_signal', 'global_fetch_strictly_public'],
}

/** Same as in wrangler.toml, too. */
export const durableObjects = {
  NODE_HUB: { className: 'NodeHub', useSQLite: true },
  RESPONSE_STORE: { className: 'ResponseStore', useSQLite: true },
}

export interface GatewayOptions {
  host: string
  port: number
  settings: GatewaySettings
  /** /health is 503 until a node is registered. */
  expectNode: boolean
}

/** What the environment and the configuration document say, checked before anything starts. */
export interface GatewaySettings {
  bindings: Record<string, string>
  /** No API keys are needed. */
  open: boolean
  /** With which the launcher's own node joins. */
  nodeToken: string
  /** The tenant that this token stands for. */
  nodeTenant: string
}

export interface Gateway {
  /** Resolves when workerd is gone, whoever ended it. */
  ended: Promise<void>
  /** May be called again. */
  stop(): Promise<void>
}

/** Throws CommandError where the gateway would be open to others, ConfigError with the path of a bad field. */
export function gatewaySettings(host: string): GatewaySettings {
  const keys = process.env.SWITCHYARD_KEYS
  if (!keys && !isLoopback(host)) {
    throw new CommandError(
      `${host} is reachable by others and no API keys are set. Set SWITCHYARD_KEYS='{"<tenant>":"sy_…"}' or listen on 127.0.0.1.`,
    )
  }
  const rows = keys ? (parseKeys(keys) ?? []) : []
  const [tenant] = rows[0] ?? []
  if (keys && tenant === undefined) {
    throw new CommandError(
      `SWITCHYARD_KEYS is no JSON object of tenants, each once, and keys: {"<tenant>":"sy_…"}, or a list of keys in place of one.`,
    )
  }
  refuseShared('SWITCHYARD_KEYS', rows)
  const document = readConfig()
  const config = parseConfig(document?.json, document?.path ?? 'built-in configuration')
  const givenTokens = process.env[config.nodes.tokenEnv]
  refuseShared(config.nodes.tokenEnv, parseKeys(givenTokens ?? '') ?? [])
  const { tokens, ...node } = nodeAccess(givenTokens, tenant ?? 'default')
  return {
    ...node,
    open: !keys,
    bindings: {
      ...secrets(config),
      [config.nodes.tokenEnv]: tokens,
      ...(keys ? { SWITCHYARD_KEYS: keys } : { SWITCHYARD_OPEN: 'loopback' }),
      ...(document ? { SWITCHYARD_CONFIG: document.json } : {}),
    },
  }
}

/** Whose caller it is could not be told. */
function refuseShared(variable: string, rows: readonly [tenant: string, key: string][]): void {
  const tenants = sharedBy(rows)
  if (tenants === undefined) return
  throw new CommandError(
    `${variable} gives the tenants '${tenants[0]}' and '${tenants[1]}' the same key: each must have its own.`,
  )
}

/** The token of our own node: the first of those given, or a new one for `tenant`. */
function nodeAccess(given: string | undefined, tenant: string) {
  if (!given) {
    const nodeToken = randomBytes(24).toString('base64url')
    return { tokens: JSON.stringify({ [tenant]: nodeToken }), nodeToken, nodeTenant: tenant }
  }
  const [nodeTenant, nodeToken] = parseKeys(given)?.[0] ?? ['default', given]
  return { tokens: given, nodeToken, nodeTenant }
}

/** Starts workerd and resolves when the address is served. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  // Loaded here and not at the top: miniflare takes 0.4 s that --help need not wait for.
  const { Log, LogLevel, Miniflare } = await import('miniflare')
  class StderrLog extends Log {
    override log(message: string) {
      process.stderr.write(`${message}\n`)
    }
  }
  const bindings = {
    ...options.settings.bindings,
    SWITCHYARD_SEAL_KEY: sealSecret(stateFolder()),
    ...(options.expectNode ? { SWITCHYARD_EXPECT_NODE: expectation(options.host) } : {}),
  }
  const before = stopListeners()
  let haveEnded = () => {}
  const ended = new Promise<void>((resolve) => {
    haveEnded = resolve
  })
  const miniflare = new Miniflare({
    // A port of its own, known to the relay alone.
    host: '127.0.0.1',
    port: 0,
    cf: false,
    log: new StderrLog(LogLevel.WARN),
    handleRuntimeStdio(stdout: Readable, stderr: Readable) {
      stdout.once('close', () => haveEnded()).pipe(process.stderr, { end: false })
      void copyRuntimeLog(stderr, (line) => process.stderr.write(`${line}\n`))
    },
    durableObjectsPersist: join(stateFolder(), 'durable-objects'),
    name: 'switchyard',
    // By content: workerd refuses module paths outside the folder that it was started in.
    modules: [{ type: 'ESModule', path: 'index.js', contents: readFileSync(workerBundle, 'utf8') }],
    compatibilityDate: compatibility.date,
    compatibilityFlags: compatibility.flags,
    bindings,
    durableObjects,
  })
  // Miniflare ends the whole process at SIGINT and SIGTERM, in the middle of what we do then: the caller disposes of it.
  for (const [signal, listeners] of stopListeners()) {
    for (const listener of listeners)
      if (!before.get(signal)?.includes(listener)) process.off(signal, listener)
  }
  const { port } = await miniflare.ready
  const callOff = endWithThisProcess(childrenNamed('workerd'))
  const relay = await startRelay(options.host, options.port, Number(port)).catch(
    async (error: unknown) => {
      await miniflare.dispose()
      throw error
    },
  )
  const stop = async () => {
    await relay.close()
    await miniflare.dispose()
    callOff()
  }
  let stopped: Promise<void> | undefined
  return { ended, stop: () => (stopped ??= stop()) }
}

/** Who reaches the address reaches /health: names of nodes and processes are for this machine. */
export function expectation(host: string): '1' | 'unnamed' {
  return isLoopback(host) ? '1' : 'unnamed'
}

/** Where the gateway's state is kept. */
export function stateFolder(): string {
  return join(process.cwd(), '.switchyard')
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
