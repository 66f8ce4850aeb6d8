// The page of metrics of one process: what it is, how busy, and what it has done.
import { toApiError } from '../../src/errors.ts'
import { unknownUrl, wrongMethod } from '../../src/faces/unknown-url.ts'
import {
  type MetricFamily,
  metricsContentType,
  metricsText,
  single,
} from '../../src/metrics/families.ts'
import { version } from '../../src/version.ts'
import type { Backend } from './backend.ts'

/** Answers a scrape; `more`: what the caller counts itself. */
export function metricsResponse(backend: Backend, more: readonly MetricFamily[] = []): Response {
  const families = [
    ...processFamilies(),
    ...backendFamilies(backend),
    ...(backend.metrics?.() ?? []),
    ...more,
  ]
  return new Response(metricsText(families), { headers: { 'content-type': metricsContentType } })
}

/** Serves the page, and nothing else, for a process that has no API of its own. */
export function metricsOnly(backend: Backend): (request: Request) => Promise<Response> {
  return async ({ method, url }) => {
    try {
      const { pathname } = new URL(url)
      if (pathname !== '/metrics') throw unknownUrl(method, pathname)
      if (method !== 'GET' && method !== 'HEAD') throw wrongMethod(method, pathname, ['GET'])
      return metricsResponse(backend)
    } catch (thrown) {
      return toApiError(thrown).toResponse()
    }
  }
}

function backendFamilies(backend: Backend): MetricFamily[] {
  const { models, slots } = backend
  const now = backend.status()
  const families: MetricFamily[] = [
    {
      name: 'switchyard_info',
      help: 'Always 1: the version, and a model that is served.',
      type: 'gauge',
      samples: models.map(({ id }) => ({ labels: { version, model: id }, value: 1 })),
    },
    single('gauge', 'switchyard_requests_running', 'Requests that run now.', now.running),
    single('gauge', 'switchyard_requests_waiting', 'Requests that wait for a slot.', now.waiting),
    single('gauge', 'switchyard_slots', 'Requests that can run at once.', now.slots ?? slots),
  ]
  const { kv_used: used, kv_total: total } = now
  if (used !== undefined && total) {
    const help = 'Part of the KV cache that is in use, 0 to 1.'
    families.push(single('gauge', 'switchyard_kv_cache_usage_ratio', help, used / total))
  }
  return families
}

/** Under the names that client libraries of Prometheus give them. */
function processFamilies(): MetricFamily[] {
  const { user, system } = process.cpuUsage()
  const started = Date.now() / 1000 - process.uptime()
  return [
    single(
      'counter',
      'process_cpu_seconds_total',
      'Processor time, user and system.',
      (user + system) / 1e6,
    ),
    single('gauge', 'process_resident_memory_bytes', 'Resident memory.', process.memoryUsage.rss()),
    single('gauge', 'process_start_time_seconds', 'Start, in seconds of Unix time.', started),
  ]
}
