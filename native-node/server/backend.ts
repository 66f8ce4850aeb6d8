// What answers a node's calls: the native engine, or a server that the node's owner already runs.
import type { EgressPolicy } from '../../src/egress/egress.ts'
import type { UpstreamCall } from '../../src/faces/deps.ts'
import type { MetricFamily } from '../../src/metrics/families.ts'
import type { NodeModel, Status } from '../../src/tunnel/messages.ts'

export interface Backend {
  readonly models: readonly NodeModel[]
  /** Which hosts a request may name in URLs; absent: all public ones. */
  readonly egress?: EgressPolicy | undefined
  /** Requests that run at once. */
  readonly slots: number
  /** A 2xx Response in the call's dialect; throws ApiError, or the signal's reason once it is aborted. */
  send(model: NodeModel, call: UpstreamCall): Promise<Response>
  /** How many tokens a Responses request is for the model. Absent: it cannot say. */
  countTokens?(model: NodeModel, body: Record<string, unknown>): Promise<number>
  status(): Status
  /** What it has done since its start, beyond what status() tells. */
  metrics?(): MetricFamily[]
  close(): Promise<void>
}
