// The config that the rest of the gateway sees: the document checked, merged over the built-in providers, defaults filled in.
import type { EgressPolicy } from '../egress/egress.ts'
import { engines } from '../providers/engines.ts'
import { providers as builtIns } from '../providers/index.ts'
import { openAiCompatible, type Provider } from '../providers/provider.ts'
import { type Policy, reservedSuffixes, routeNames } from '../routing/names.ts'
import { ConfigError } from './config-error.ts'
import { nearest, readDocument } from './document.ts'
import type { ConfigDocument, ProviderDocument } from './schema.ts'
import type { ToolsDocument } from './tools-schema.ts'

export interface Config {
  /** Enabled providers by name: those of the document in its order, then the other built-in ones. */
  providers: ReadonlyMap<string, Provider>
  /** Public id → names of the places that may answer, in order. */
  routes: ReadonlyMap<string, readonly string[]>
  policy: Policy
  /** What becomes of a provider's stream that is cut: it fails, or another place goes on. */
  rescue: 'continue' | 'fail'
  /** When a second place is asked as well; unset: never, unless a client wishes it. */
  hedge: { afterMs: number } | undefined
  passThrough: { hf: boolean }
  /** Clients may bring their own provider keys. */
  byok: boolean
  /** Where ids of models are looked up, and for which providers; unset: nowhere. */
  modelMapping: ModelMapping | undefined
  nodes: { tokenEnv: string }
  egress: EgressPolicy
  /** Web pages that may call. */
  cors: { origins: readonly string[] }
  limits: { bodyBytes: number; upstreamBytes: number; storeDays: number }
  reasoningEvents: 'reasoning_text' | 'reasoning' | 'summary'
  /** A line in the gateway's log for each request. */
  requestLog: boolean
  /** Where the token of `GET /metrics` stands; unset: there is no such page. */
  metrics: { tokenEnv: string } | undefined
  /** For nodes on this machine; the gateway itself runs none. */
  tools: ToolsDocument
}

export interface ModelMapping {
  /** Of Hugging Face's hub or a mirror of it; no trailing slash. */
  hubUrl: string
  providers: ReadonlySet<string>
}

/** Checks a config document and merges it over the built-ins; `undefined` gives the built-ins alone. `source` is named in errors. */
export function parseConfig(json: string | undefined, source: string): Config {
  const document = json === undefined ? {} : readDocument(json, source)
  const providers = new Map<string, Provider>()
  for (const [name, entry] of Object.entries(document.providers ?? {})) {
    const provider = mergeProvider(name, entry, source)
    if (entry.enabled !== false) providers.set(name, provider)
  }
  for (const provider of Object.values(builtIns)) {
    if (!(provider.name in (document.providers ?? {}))) providers.set(provider.name, provider)
  }
  return {
    providers,
    routes: new Map(Object.entries(document.routes ?? {})),
    policy: document.policy ?? 'preferred',
    rescue: document.rescue ?? 'fail',
    hedge: document.hedge,
    passThrough: { hf: document.passThrough?.hf ?? false },
    byok: document.byok ?? false,
    modelMapping: readMapping(document, providers, source),
    nodes: { tokenEnv: document.nodes?.tokenEnv ?? 'SWITCHYARD_NODE_TOKEN' },
    egress: {
      allowHosts: document.egress?.allowHosts,
      mcpHosts: document.egress?.mcpHosts,
    },
    cors: { origins: document.cors?.origins ?? [] },
    limits: {
      bodyBytes: document.limits?.bodyBytes ?? 10 * 1024 * 1024,
      upstreamBytes: document.limits?.upstreamBytes ?? 64 * 1024 * 1024,
      storeDays: document.limits?.storeDays ?? 30,
    },
    reasoningEvents: document.reasoningEvents ?? 'reasoning_text',
    requestLog: document.requestLog ?? false,
    metrics: document.metrics && {
      tokenEnv: document.metrics.tokenEnv ?? 'SWITCHYARD_METRICS_TOKEN',
    },
    tools: document.tools ?? {},
  }
}

/** Unless the document asks for more, a provider that was given another address is not looked up: it may have other models. */
function readMapping(
  { modelMapping }: ConfigDocument,
  providers: ReadonlyMap<string, Provider>,
  source: string,
): ModelMapping | undefined {
  if (modelMapping === 'off') return undefined
  const moved = (provider: Provider) =>
    Object.values(builtIns).every(({ baseUrl }) => baseUrl !== provider.baseUrl)
  const mapped = [...providers.values()].filter(
    (provider) => provider.onHub && (modelMapping !== undefined || !moved(provider)),
  )
  if (mapped.length === 0) return undefined
  const hubUrl =
    typeof modelMapping === 'object'
      ? checkBaseUrl(modelMapping.hubUrl, true, 'modelMapping.hubUrl', source)
      : 'https://huggingface.co'
  return { hubUrl, providers: new Set(mapped.map((provider) => provider.name)) }
}

/** Names of the environment variables that the config reads secrets from: what a launcher must hand to the Worker. */
export function secretNames(config: Config): string[] {
  const names = [...config.providers.values()].map((provider) => provider.apiKeyEnv)
  const { metrics, nodes } = config
  return [...new Set([...names, nodes.tokenEnv, ...(metrics ? [metrics.tokenEnv] : [])])]
}

function mergeProvider(name: string, entry: ProviderDocument, source: string): Provider {
  const at = `providers.${name}`
  const builtIn: Provider | undefined = Object.values(builtIns).find((known) => known.name === name)
  if (!builtIn && (reservedSuffixes.has(name) || routeNames.has(name))) {
    throw new ConfigError(source, at, 'is a reserved name')
  }
  if (builtIn && entry.kind !== undefined) {
    throw new ConfigError(source, `${at}.kind`, 'is for a provider that is not built in')
  }
  const engine = entry.kind === undefined ? undefined : engines[entry.kind]
  const usual = builtIn?.baseUrl ?? engine?.baseUrl
  if (usual === undefined && entry.baseUrl === undefined) {
    const meant = nearest(
      name,
      Object.values(builtIns).map((known) => known.name),
    )
    const problem = `is required for a provider that is not built in and has no \`kind\`${meant === undefined ? '' : ` (did you mean the built-in '${meant}'?)`}`
    throw new ConfigError(source, `${at}.baseUrl`, problem)
  }
  const baseUrl =
    entry.baseUrl === undefined
      ? (usual ?? '')
      : checkBaseUrl(entry.baseUrl, builtIn !== undefined, `${at}.baseUrl`, source)
  const base = builtIn ?? openAiCompatible(name, baseUrl, engine?.chat)
  return {
    ...base,
    baseUrl,
    apiKeyEnv: entry.apiKeyEnv ?? base.apiKeyEnv,
    keyOptional: base.keyOptional && entry.apiKeyEnv === undefined,
    dialects: entry.dialects ?? base.dialects,
    models: typeof entry.models === 'object' ? { ...base.models, ...entry.models } : base.models,
    otherModels: otherModels(entry, base),
    headers: { ...base.headers, ...entry.headers },
    raw: entry.raw ?? base.raw,
    streamWhole: entry.streamWhole ?? base.streamWhole,
    timeouts: {
      headersMs: entry.timeouts?.headersMs ?? base.timeouts.headersMs,
      firstTokenMs: entry.timeouts?.firstTokenMs ?? base.timeouts.firstTokenMs,
      idleMs: entry.timeouts?.idleMs ?? base.timeouts.idleMs,
      totalMs: entry.timeouts?.totalMs ?? base.timeouts.totalMs,
      retryAfterMs: entry.timeouts?.retryAfterMs ?? base.timeouts.retryAfterMs,
    },
    pricing: { ...base.pricing, ...entry.pricing },
    capabilities: { ...base.capabilities, ...entry.capabilities },
  }
}

/** A custom provider without a list takes any id from a client that names it, but is no answer to every unknown id. */
function otherModels(entry: ProviderDocument, base: Provider): Provider['otherModels'] {
  if (entry.models === '*') return 'always'
  return typeof entry.models === 'object' && !base.builtIn ? 'never' : base.otherModels
}

/** A built-in provider's key stays on https, except for a stand-in on this machine. */
function checkBaseUrl(given: string, builtIn: boolean, path: string, source: string): string {
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw new ConfigError(source, path, 'is not a URL')
  }
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (!builtIn || loopback))) {
    throw new ConfigError(source, path, builtIn ? 'must be https' : 'must be http or https')
  }
  if (url.username || url.password)
    throw new ConfigError(source, path, 'must not carry a user name or password')
  // A client's model would choose who gets the key.
  if (url.hostname.includes('{'))
    throw new ConfigError(source, path, 'may have {model} in its path only')
  if (url.search || url.hash)
    throw new ConfigError(source, path, 'must have no query and no fragment')
  const trimmed = url.pathname.replace(/\/+$/, '').replace('%7Bmodel%7D', '{model}')
  return `${url.origin}${trimmed}`
}
