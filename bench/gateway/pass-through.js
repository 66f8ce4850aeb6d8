// The least that a Worker in the middle can do: one fetch, bodies passed through natively. The floor of the comparison.
export default {
  fetch(request, env) {
    const url = new URL(request.url)
    if (url.pathname === '/health') return new Response('ok')
    return fetch(env.UPSTREAM + url.pathname, request)
  },
}
