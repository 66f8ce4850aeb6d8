import type { Context, Handler } from 'hono'
import { ApiError } from '../../src/errors.ts'
import type { Place } from '../../src/faces/deps.ts'
import { type MetricFamily, metricsContentType, metricsText } from '../../src/metrics/families.ts'
import { nodeFamilies, placeFamilies } from '../../src/metrics/place-metrics.ts'
import type { RequestMetrics } from '../../src/metrics/request-metrics.ts'
import { version } from '../../src/version.ts'
import { hmac } from '../callers.ts'
import { type Env, type GatewayEnv, secret } from '../env.ts'
import { knownNodes, nodeTenants } from '../known-nodes.ts'
import { bearer } from '../middleware/auth.ts'
import { isOpen } from '../middleware/local-only.ts'
import { only } from '../middleware/on-error.ts'
import { runtimeOf } from '../runtime.ts'

/**
 * `GET /metrics` for Prometheus, where the configuration has `metrics`: what this isolate has seen, of all tenants. It has a
 * token of its own, as no tenant's key may read of the others.
 */
export const metricsPage: Handler<GatewayEnv> = async (c, next) => {
  const { config, metrics } = runtimeOf(c.env)
  if (config.metrics === undefined || metrics === undefined) return next()
  await authorize(c, config.metrics.tokenEnv)
  if (c.req.method !== 'GET' && c.req.method !== 'HEAD') return only('GET')(c, next)
  const families = [infoFamily, ...metrics.families(), ...placesOf(c.env, metrics)]
  if (secret(c.env, config.nodes.tokenEnv) !== undefined) families.push(...(await nodesOf(c)))
  return c.body(metricsText(families), 200, { 'content-type': metricsContentType })
}

const infoFamily: MetricFamily = {
  name: 'switchyard_info',
  help: 'Always 1: the version.',
  type: 'gauge',
  samples: [{ labels: { version }, value: 1 }],
}

/** Throws ApiError for whoever does not show the token. Without one the page is for this machine, while the gateway is. */
async function authorize(c: Context<GatewayEnv>, tokenEnv: string): Promise<void> {
  const token = secret(c.env, tokenEnv)
  if (token === undefined) {
    if (isOpen(c.env)) return
    const message = `This page has no token yet: the owner of the gateway must set the secret ${tokenEnv}.`
    throw new ApiError('auth_not_configured', message)
  }
  const given = bearer(c.req.header('authorization'))
  if (given === undefined) {
    const message = `This page has a token of its own: send \`Authorization: Bearer …\` with the value of ${tokenEnv}.`
    throw new ApiError('invalid_api_key', message)
  }
  if (!crypto.subtle.timingSafeEqual(await hmac(given), await hmac(token))) {
    throw new ApiError('invalid_api_key', 'This is not the token of the metrics page.')
  }
}

function placesOf(env: Env, metrics: RequestMetrics): MetricFamily[] {
  const { config, observations } = runtimeOf(env)
  const modelAt = ({ kind, name, model }: Place) => {
    const listed = kind === 'provider' ? config.providers.get(name)?.models : undefined
    const [id = model] = Object.entries(listed ?? {}).find(([, there]) => there === model) ?? []
    return metrics.labelOf(id)
  }
  return placeFamilies(observations, modelAt, Date.now())
}

async function nodesOf(c: Context<GatewayEnv>): Promise<MetricFamily[]> {
  const options = { fresh: false, requestId: c.get('requestId') }
  const lists = await Promise.all(
    nodeTenants(c.env).map(async (tenant) => {
      const { nodes } = await knownNodes(c.env, tenant, options)
      return [tenant, nodes] as const
    }),
  )
  return nodeFamilies(new Map(lists))
}
