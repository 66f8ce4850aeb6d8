// What an isolate derives from its bindings, once: the checked config and the keys of callers.
import { type Config, parseConfig } from '../src/config/index.ts'
import { RequestMetrics } from '../src/metrics/request-metrics.ts'
import { HubModels } from '../src/routing/hub-models.ts'
import { Observations } from '../src/routing/observations.ts'
import { type Callers, readCallers } from './callers.ts'
import { type Env, secret } from './env.ts'

export interface Runtime {
  config: Config
  callers: Promise<Callers>
  observations: Observations
  hub: HubModels
  /** Counts for `GET /metrics`; unset where nobody asks for them. */
  metrics: RequestMetrics | undefined
  /** Some provider that the hub knows can be called at all: else there is nothing to ask it. */
  asksHub: boolean
}

interface Cached extends Runtime {
  configText: unknown
  keysText: unknown
}

let cached: Cached | undefined

/** Throws ConfigError while the config document is refused. */
export function runtimeOf(env: Env): Runtime {
  const configText: unknown = env.SWITCHYARD_CONFIG
  const keysText = env.SWITCHYARD_KEYS
  if (cached && cached.configText === configText && cached.keysText === keysText) return cached
  // A variable written as a table in wrangler.toml arrives as an object.
  const json =
    configText === undefined || typeof configText === 'string'
      ? configText
      : JSON.stringify(configText)
  const config = parseConfig(json, 'SWITCHYARD_CONFIG')
  cached = {
    config,
    callers: readCallers(keysText),
    observations: new Observations(),
    hub: new HubModels(),
    metrics: config.metrics && new RequestMetrics(knownModels(config)),
    asksHub: asksHub(config, env),
    configText,
    keysText,
  }
  return cached
}

/** Public ids that the owner of the gateway has written down, or that came with it. */
function knownModels({ providers, routes }: Config): Set<string> {
  const listed = [...providers.values()].flatMap(({ models }) => Object.keys(models))
  return new Set([...routes.keys(), ...listed])
}

function asksHub({ byok, modelMapping, passThrough, providers }: Config, env: Env): boolean {
  if (modelMapping === undefined) return false
  const keyed = (name: string) => secret(env, providers.get(name)?.apiKeyEnv ?? '') !== undefined
  return byok || passThrough.hf || [...modelMapping.providers].some(keyed)
}
