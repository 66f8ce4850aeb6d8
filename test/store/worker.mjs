// The smallest Worker around the response store: each request is one call of it, for the tenant that it names.
import { ResponseStore } from '../../gateway/durable-objects/response-store.ts'
import { remoteState } from '../../gateway/response-store.ts'
import { toApiError } from '../../src/errors.ts'

export { NodeHub } from '../../gateway/durable-objects/node-hub.ts'
export { ResponseStore }

export default {
  async fetch(request, env, context) {
    const { tenant, path, args, turn, id, after, steps } = await request.json()
    const store = remoteState({
      env,
      identity: { tenant, hfOnly: false },
      requestId: '-',
      place: undefined,
      headers: new Headers(),
      waitUntil: (work) => context.waitUntil(work),
    })
    try {
      switch (new URL(request.url).pathname) {
        case '/begin':
          return await record(store.begin(turn), steps)
        case '/events':
          return await events(await store.events(id, after))
        default: {
          const owner = path.length > 1 ? store[path[0]] : store
          const value = await owner[path.at(-1)](...args)
          return Response.json({ value: value instanceof Map ? { map: [...value] } : value })
        }
      }
    } catch (thrown) {
      return toApiError(thrown).toResponse()
    }
  },
}

async function events(log) {
  if (log === undefined || log === 'none') return Response.json({ log: String(log) })
  const headers = log.truncated ? { 'x-truncated': '1' } : {}
  return new Response(log.body, { headers: { 'content-type': 'text/event-stream', ...headers } })
}

/** Steps carry `resp_to_be` where the id belongs, which only the recorder knows. */
async function record(recorder, given) {
  if (recorder === undefined) return Response.json({})
  const steps = JSON.parse(JSON.stringify(given).replaceAll('resp_to_be', recorder.id))
  for (const [kind, ...args] of steps) {
    if (kind !== 'repeat') await recorder[kind](...args)
    for (let at = 0; kind === 'repeat' && at < args[1]; at += 30) {
      recorder.write(args[0].repeat(30), 2 + at)
      // As between the reads of an upstream: what is written can be taken.
      await new Promise((resolve) => setTimeout(resolve))
    }
  }
  return Response.json({ id: recorder.id })
}
