// The least that a converter must do for a request that is not streamed, step by step: STEPS of them, each with those before it.
// Nothing is converted, planned or checked beyond what stands here: what the gateway costs above the last one is its own work.
const decoder = new TextDecoder('utf-8', { fatal: true })
const bad = (status) => new Response('{}', { status })

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname === '/health') return new Response('ok')
    const steps = Number(env.STEPS)
    // 1: both bodies as text and parsed, one fetch, one Response.
    let body
    if (steps < 2) body = await request.json()
    else {
      // 2: the declared type and length looked at, bytes that are no UTF-8 refused.
      const { headers } = request
      const length = headers.get('content-length')
      if (!/json/.test(headers.get('content-type') ?? '') || Number(length) > 1e7) return bad(400)
      body = JSON.parse(decoder.decode(await request.arrayBuffer()))
    }
    // 3: work upstream stops when the client leaves.
    const controller = steps < 3 ? undefined : new AbortController()
    const gone = controller && request.signal
    const onGone = () => controller.abort()
    gone?.addEventListener('abort', onGone)
    // 4: an upstream that says nothing is not waited for.
    const timer = steps < 4 ? undefined : setTimeout(onGone, 30_000)
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(steps < 5 ? {} : headersOf(env)) },
      body: JSON.stringify({ ...body, stream: false }),
      ...(controller === undefined ? {} : { signal: controller.signal }),
      ...(steps < 5 ? {} : { redirect: 'manual' }),
    }
    const upstream = await fetch(env.UPSTREAM + pathname, init)
    if (steps >= 5 && !isWhole(upstream)) return bad(502)
    const text = await upstream.text()
    clearTimeout(timer)
    gone?.removeEventListener('abort', onGone)
    if (!Array.isArray(JSON.parse(text).choices)) return bad(502)
    return new Response(text, {
      headers: { 'content-type': 'application/json', ...(steps < 6 ? {} : answerHeaders) },
    })
  },
}

/** 5: the provider's key, no redirect, nothing packed; an answer of another type or length is none. */
function headersOf(env) {
  return {
    'user-agent': 'bench',
    accept: 'application/json',
    'accept-encoding': 'identity',
    authorization: `Bearer ${env.KEY}`,
  }
}

function isWhole({ ok, headers }) {
  const type = headers.get('content-type') ?? ''
  const length = Number(headers.get('content-length') ?? Number.NaN)
  return ok && /json/.test(type) && length < 1e6 && !headers.has('content-encoding')
}

/** 6: what every answer says. */
const answerHeaders = {
  'x-request-id': 'req-0',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'x-switchyard-provider': 'bench',
  'x-switchyard-attempts': '1',
}
