// What the Worker is bound to. Provider keys are bindings too, under the names that the config gives them.
import type { RequestEntry } from '../src/faces/request-log.ts'
import type { Dataset } from './analytics.ts'

export interface Env {
  /** The config document's JSON. */
  SWITCHYARD_CONFIG?: string
  /** Secret: JSON `{ "<tenant>": "<key>" | "hmac-sha256:<hex>" }`. */
  SWITCHYARD_KEYS?: string
  /** Secret behind sealed reasoning; SWITCHYARD_KEYS where it is not set. Who changes it makes older texts unreadable. */
  SWITCHYARD_SEAL_KEY?: string
  /** `loopback`: no keys are needed. Set by the local launcher alone, when it listens on loopback. */
  SWITCHYARD_OPEN?: string
  /** `1`: not healthy before a node has joined. */
  SWITCHYARD_EXPECT_NODE?: string
  /** Secret of nodes: a token of tenant `default`, or JSON `{ "<tenant>": "<token>" }`. */
  SWITCHYARD_NODE_TOKEN?: string
  NODE_HUB: DurableObjectNamespace
  /** Unset: responses are not kept. */
  RESPONSE_STORE?: DurableObjectNamespace
  /** Workers Analytics Engine: set, it gets a point of data for each request. */
  ANALYTICS?: Dataset
}

/** A binding by a name that is known at run time only: a provider's key. */
export function secret(env: Env, name: string): string | undefined {
  const value: unknown = Reflect.get(env, name)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Who calls, and what a call may use. */
export interface Identity {
  tenant: string
  /** The caller's own Hugging Face token, sent to hf in place of the gateway's. */
  hfToken?: string
  /** Keys that the caller brought for providers, by their names. */
  providerKeys?: Readonly<Record<string, string>>
  /** A pass-through caller pays for itself: hf alone, never the keys of the gateway's owner. */
  hfOnly: boolean
}

/** Hono's view of a request. */
export interface GatewayEnv {
  Bindings: Env
  Variables: {
    requestId: string
    /** Set by authenticate. */
    identity: Identity
    /** Set where requests are logged. */
    entry?: RequestEntry
  }
}
