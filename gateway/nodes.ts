// The Worker's side of the nodes: joining, listing, dispatching. The only file of the gateway that knows NodeHub's inner routes.
import type { UpstreamCall } from '../src/faces/deps.ts'
import type { NodeModel } from '../src/tunnel/messages.ts'

/** What this file needs of the Worker's environment. */
export interface NodesEnv {
  NODE_HUB: DurableObjectNamespace
}

export interface NodeInfo {
  name: string
  models: NodeModel[]
  slots: number
  running: number
  waiting: number
  draining: boolean
  /** Milliseconds since the epoch. */
  connectedAt: number
  pid?: number
  agent?: string
}

export interface ConnectOptions {
  /** The secret SWITCHYARD_NODE_TOKEN: a token of tenant `default`, or JSON `{ "<tenant>": "<token>" }`. The token picks the tenant. */
  tokens: string | undefined
  /** Names that no node may take: reserved words, providers, routes. */
  refusedNames: Iterable<string>
}

export interface NodeCall {
  /** Pins one node by name; it is never replaced by another. */
  node?: string
  /** The model's id at the node. */
  model: string
  call: UpstreamCall
}

export interface ListOptions {
  /** Ask the hub even if the isolate's copy (≤ 5 s old) would do. */
  fresh?: boolean
}

/** `GET /nodes/connect`: checks the token, then hands the WebSocket upgrade to the tenant's hub. */
export declare function connectNode(
  request: Request,
  env: NodesEnv,
  options: ConnectOptions,
): Promise<Response>

/** The tenant's connected nodes; at most 5 s old. */
export declare function listNodes(
  env: NodesEnv,
  tenant: string,
  options?: ListOptions,
): Promise<NodeInfo[]>

/**
 * Sends one call to a node that serves the model; gives a 2xx Response in the call's dialect.
 * Throws ApiError with `retryable` set where the next candidate may be tried; a node that dies after its
 * first byte makes the body's reader throw.
 */
export declare function dispatchToNode(
  env: NodesEnv,
  tenant: string,
  request: NodeCall,
): Promise<Response>
