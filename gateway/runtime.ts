// What an isolate derives from its bindings, once: the checked config and the keys of callers.
import { type Config, parseConfig } from '../src/config/index.ts'
import { Observations } from '../src/routing/observations.ts'
import type { Env } from './env.ts'
import { type Callers, readCallers } from './middleware/auth.ts'

export interface Runtime {
  config: Config
  callers: Promise<Callers>
  observations: Observations
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
  cached = {
    config: parseConfig(json, 'SWITCHYARD_CONFIG'),
    callers: readCallers(keysText),
    observations: new Observations(),
    configText,
    keysText,
  }
  return cached
}
