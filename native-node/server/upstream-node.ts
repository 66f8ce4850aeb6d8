// A server that the node's owner already runs (vLLM, SGLang, llama-server: anything with OpenAI's API) as the node's
// backend. Answers go through byte for byte, unless the model has another name here than there. node:http and not fetch:
// fetch gives up after five minutes without headers, which a long prompt on a small machine needs.
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import * as z from 'zod'
import type { EgressPolicy } from '../../src/egress/egress.ts'
import { ApiError } from '../../src/errors.ts'
import type { Dialect, UpstreamCall } from '../../src/faces/deps.ts'
import { upstreamError } from '../../src/providers/errors.ts'
import { type NodeModel, nodeModelSchema, type Status } from '../../src/tunnel/messages.ts'
import type { Backend } from './backend.ts'
import { inlineUrls } from './inline-urls.ts'
import type { Address } from './pinned-get.ts'
import { withPublicModel } from './public-model.ts'

export interface UpstreamOptions {
  /** Base URL of the server, with or without `/v1`. */
  url: string
  /** Its bearer key. */
  key?: string
  /** Dialects that it speaks, best first. */
  dialects?: readonly Dialect[]
  /** Public id instead of the server's own; only where it serves one model. */
  as?: string
  /** Requests that it takes at once. */
  slots?: number
  /** Which hosts a request may name in URLs; unset: all public ones. */
  egress?: EgressPolicy
  /** Addresses that a name stands for; the system's resolver unless given. */
  resolve?: (host: string) => Promise<Address[]>
  now?: () => number
  log?: (message: string) => void
  signal?: AbortSignal
}

const place = "The node's engine"
const maxTextBytes = 1 << 20
const listTimeoutMs = 10_000
const defaultSlots = 64

const modelListSchema = z.object({
  data: z.array(z.looseObject({ id: z.string(), max_model_len: z.int().nullish() })),
})

/** Asks the server for its models; throws ApiError when it can not be reached or has none. */
export async function connectUpstream(options: UpstreamOptions): Promise<UpstreamBackend> {
  const base = baseUrl(options.url)
  const timeout = AbortSignal.timeout(listTimeoutMs)
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout
  const response = await call(new URL(`${base}/models`), { ...options, signal })
  const parsed = modelListSchema.safeParse(await jsonOf(response))
  if (!parsed.success) {
    throw new ApiError('upstream_error', `${base}/models does not list models.`)
  }
  return new UpstreamBackend(base, options, parsed.data.data)
}

type Listed = z.infer<typeof modelListSchema>['data'][number]

export class UpstreamBackend implements Backend {
  readonly models: readonly NodeModel[]
  readonly slots: number
  readonly egress: EgressPolicy | undefined
  readonly #base: string
  readonly #options: UpstreamOptions
  /** Public id → the server's own. */
  readonly #ids = new Map<string, string>()
  #running = 0

  constructor(base: string, options: UpstreamOptions, listed: readonly Listed[]) {
    this.#base = base
    this.#options = options
    this.slots = options.slots ?? defaultSlots
    this.egress = options.egress
    const { as } = options
    if (as !== undefined && listed.length !== 1) {
      throw new ApiError(
        'invalid_request',
        `One name for ${listed.length} models: ${base} must serve exactly one.`,
      )
    }
    this.models = listed.flatMap((model) => {
      const known = nodeModelSchema.safeParse({
        id: as ?? model.id,
        dialects: options.dialects ?? ['chat'],
        ...(model.max_model_len == null ? {} : { context_length: model.max_model_len }),
      })
      if (!known.success) {
        options.log?.(`The model '${model.id}' has an id that can not be offered.`)
        return []
      }
      this.#ids.set(known.data.id, model.id)
      return [known.data]
    })
    if (this.models.length === 0) throw new ApiError('upstream_error', `${base} serves no model.`)
  }

  async send(model: NodeModel, { dialect, body, signal }: UpstreamCall): Promise<Response> {
    const path = dialect === 'chat' ? 'chat/completions' : 'responses'
    this.#running++
    try {
      const id = this.#ids.get(model.id) ?? model.id
      const { egress: policy, resolve } = this.#options
      const inlined = await inlineUrls(body, { policy, signal, ...(resolve ? { resolve } : {}) })
      const response = await call(new URL(`${this.#base}/${path}`), {
        ...this.#options,
        body: JSON.stringify({ ...inlined, model: id }),
        signal,
      })
      const counted = await this.#counted(response)
      return id === model.id ? counted : withPublicModel(counted, model.id)
    } catch (error) {
      this.#running--
      throw error
    }
  }

  status(): Status {
    return { running: this.#running, waiting: 0, slots: this.slots }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** The request runs until its answer has been read or dropped. */
  async #counted(response: Response): Promise<Response> {
    if (!response.ok) {
      throw upstreamError({
        place,
        status: response.status,
        headers: response.headers,
        text: await textOf(response),
        now: (this.#options.now ?? Date.now)(),
      })
    }
    const reader = response.body?.getReader()
    let open = true
    const ended = () => {
      if (open) this.#running--
      open = false
    }
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { value, done } = (await reader?.read()) ?? { value: undefined, done: true }
          if (!done) return controller.enqueue(value)
          ended()
          controller.close()
        } catch (error) {
          ended()
          throw error
        }
      },
      async cancel(reason) {
        ended()
        await reader?.cancel(reason)
      },
    })
    return new Response(body, { status: response.status, headers: response.headers })
  }
}

/** Headers of an answer that say something about its body; the rest are between that server and us. */
const keptHeaders = ['content-type', 'retry-after', 'retry-after-ms']

interface Outgoing {
  key?: string
  body?: string
  signal: AbortSignal
}

/** One request; redirects are not followed. */
function call(url: URL, { key, body, signal }: Outgoing): Promise<Response> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = send(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json, text/event-stream',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      // A connection of its own: one that the server has just closed would fail a request that never reached it.
      agent: false,
      signal,
    })
    request.on('response', (incoming) => resolve(toResponse(incoming)))
    request.on('error', (cause) => {
      if (signal.aborted) reject(signal.reason)
      else {
        const message = `${place} can not be reached.`
        reject(new ApiError('upstream_error', message, { cause, retryable: true }))
      }
    })
    request.end(body)
  })
}

function toResponse(incoming: IncomingMessage): Response {
  const headers = new Headers()
  for (const name of keptHeaders) {
    const value = incoming.headers[name]
    if (typeof value === 'string') headers.set(name, value)
  }
  const status = incoming.statusCode ?? 502
  const body = Readable.toWeb(incoming) as ReadableStream<Uint8Array>
  // 204 and 304 may have no body, and no answer of this API has either.
  const usable = status >= 200 && status !== 204 && status !== 205 && status !== 304
  return new Response(body, { status: usable ? status : 502, headers })
}

/** `http://host:8000` and `http://host:8000/v1/` mean the same. */
function baseUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch (cause) {
    throw new ApiError('invalid_request', `'${text}' is not a URL.`, { cause })
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new ApiError('invalid_request', `'${text}' is not an http or https URL.`)
  }
  const path = url.pathname.replace(/\/+$/, '')
  return `${url.origin}${path === '' ? '/v1' : path}`
}

async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > maxTextBytes) break
  }
  return text
}

async function jsonOf(response: Response): Promise<unknown> {
  const text = await textOf(response)
  if (!response.ok) {
    const { status, headers } = response
    throw upstreamError({ place, status, headers, text, now: Date.now() })
  }
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
