// The smallest Worker around the hub: what the gateway's routes do, without faces.
import { NodeHub } from '../../gateway/durable-objects/node-hub.ts'
import { hostedTools } from '../../gateway/hosted-tools.ts'
import { connectNode, dispatchToNode, listNodes } from '../../gateway/nodes.ts'
import { toApiError } from '../../src/errors.ts'

export { NodeHub }

/** The same hub with short deadlines. */
export class ImpatientHub extends NodeHub {
  helloDeadline = 200
  busySilence = 400
}

/** The same hub, small, which can be reset as by a deploy. */
export class ResettableHub extends NodeHub {
  maxNodes = 2

  constructor(state) {
    super(state)
    this.state = state
  }

  async fetch(request) {
    if (new URL(request.url).pathname === '/reset') this.state.abort('reset by a test')
    return super.fetch(request)
  }
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams: query } = new URL(request.url)
    const tenant = query.get('tenant') ?? 'default'
    try {
      if (pathname === '/nodes/connect') {
        const refusedNames = ['self', 'fastest', 'Groq', 'openai/gpt-oss-20b']
        const tokens = query.get('tokens') ?? env.SWITCHYARD_NODE_TOKEN
        return await connectNode(request, env, { tokens, refusedNames })
      }
      if (pathname === '/reset') {
        await env.NODE_HUB.get(env.NODE_HUB.idFromName(tenant)).fetch('http://hub/reset')
      }
      if (pathname === '/nodes') {
        return Response.json(await listNodes(env, tenant, { fresh: !query.has('cached') }))
      }
      if (pathname.startsWith('/tools/')) return await tools(pathname, request, env, tenant)
      const node = query.get('node') ?? undefined
      const call = {
        dialect: query.get('dialect') ?? 'responses',
        body: await request.json(),
        stream: true,
        signal: request.signal,
      }
      const response = await dispatchToNode(env, tenant, { model: query.get('model'), node, call })
      return query.has('pump') ? pumped(response) : response
    } catch (thrown) {
      const error = toApiError(thrown)
      const response = error.toResponse()
      response.headers.set('x-retryable', String(error.retryable))
      return response
    }
  },
}

async function tools(pathname, request, env, tenant) {
  const hosted = hostedTools(env, tenant, 'req_test')
  const call = await request.json()
  if (pathname === '/tools/offers') return Response.json(await hosted.offers(call.tool))
  return Response.json(await hosted.call(call, request.signal))
}

/** Reads and writes each chunk in JavaScript, as a face does; tells a body that broke off from one that ended. */
function pumped(response) {
  const reader = response.body.getReader()
  const body = new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        controller.enqueue(new TextEncoder().encode(`[broken: ${error.message}]`))
        controller.close()
      }
    },
    cancel: (reason) => reader.cancel(reason),
  })
  return new Response(body, response)
}
