// Requests of the Containers API on their way to nodes: to the one that has the container, to any for a new one, to all for a
// list. What an answer means is the Worker's business.
import { containersFeature } from '../../src/tools/containers.ts'
import { hubErrorHeader, hubRefusal, nodeHeader, refusalSeconds } from './hub-wire.ts'
import type { NodeConnection } from './node-connection.ts'
import { byLoad } from './tool-dispatch.ts'

export interface ContainerDispatch {
  /** The node that has the container; null: any. */
  node: string | null
  path: string
  /** Every node is asked; their answers come as JSON: `[{node, body}]`. */
  all: boolean
  /** Told of each node that is asked. */
  use: (node: NodeConnection) => void
}

/** A node that has not told its list by then has none. */
const listMs = 5000
const maxListBytes = 1024 * 1024
const forwardedHeaders = ['accept', 'content-type']

/** The node's answer with its name on it, or a refusal of the hub. */
export async function askContainers(
  connections: Iterable<NodeConnection>,
  request: Request,
  dispatch: ContainerDispatch,
): Promise<Response> {
  const { node } = dispatch
  const here = [...connections].filter(({ draining }) => !draining)
  const able = here.filter((each) => each.offers(containersFeature))
  if (dispatch.all) return Response.json(await listsOf(able, request.signal, dispatch))
  if (node === null) return askAny(here, able, request, dispatch)
  const there = here.find(({ hello }) => hello?.node === node)
  if (there === undefined) {
    return hubRefusal({ code: 'node_not_here', message: `The node '${node}' is not connected.` })
  }
  return able.includes(there)
    ? askOne(there, request, request.body ?? undefined, dispatch)
    : outdated(node)
}

/** Only a node that says it has no room, and so has not begun, may be followed by another. */
async function askAny(
  here: readonly NodeConnection[],
  able: NodeConnection[],
  request: Request,
  dispatch: ContainerDispatch,
): Promise<Response> {
  if (able.length === 0) {
    const old = here.find((each) => each.offers('code_interpreter'))
    if (old !== undefined) return outdated(old.hello?.node ?? '')
    return hubRefusal({ code: 'no_capacity', message: 'No node offers code_interpreter now.' })
  }
  const body = new Uint8Array(await request.arrayBuffer())
  for (const chosen of able.sort(byLoad)) {
    const response = await askOne(chosen, request, body, dispatch)
    if (response.status !== 503 || response.headers.has(hubErrorHeader)) return response
    await response.body?.cancel().catch(() => {})
  }
  const message = 'Every node with code_interpreter has as many containers at work as it takes.'
  return hubRefusal({ code: 'no_capacity', message, retryAfter: refusalSeconds })
}

async function askOne(
  node: NodeConnection,
  { method, headers, signal }: Request,
  body: Uint8Array | ReadableStream<Uint8Array> | undefined,
  { path, use }: ContainerDispatch,
): Promise<Response> {
  use(node)
  const kept = [...headers].filter(([name]) => forwardedHeaders.includes(name))
  try {
    const response = await node.openTool({ method, path, headers: kept, body, signal })
    response.headers.delete(hubErrorHeader)
    response.headers.set(nodeHeader, node.hello?.node ?? '')
    return response
  } catch {
    // The Worker that asked is gone: nobody reads this.
    if (signal.aborted) return new Response(null, { status: 499 })
    const message = `The node '${node.hello?.node}' was lost before it answered.`
    return hubRefusal({ code: 'node_lost', message })
  }
}

function listsOf(
  nodes: readonly NodeConnection[],
  asked: AbortSignal,
  { path, use }: ContainerDispatch,
): Promise<{ node: string; body: string }[]> {
  const ask = async (node: NodeConnection) => {
    use(node)
    const signal = AbortSignal.any([asked, AbortSignal.timeout(listMs)])
    try {
      const response = await node.openTool({
        method: 'GET',
        path,
        headers: [],
        body: undefined,
        signal,
      })
      const body = response.ok ? await boundedText(response) : undefined
      if (body === undefined) await response.body?.cancel()
      return body === undefined ? [] : [{ node: node.hello?.node ?? '', body }]
    } catch {
      // Gone, and its containers with it.
      return []
    }
  }
  return Promise.all(nodes.map(ask)).then((lists) => lists.flat())
}

async function boundedText(response: Response): Promise<string | undefined> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > maxListBytes) return undefined
  }
  return text + decoder.decode()
}

function outdated(node: string): Response {
  const message = `The node '${node}' runs a version without the Containers API: it must be updated.`
  return hubRefusal({ code: 'node_outdated', message })
}
