// `switchyard node`: joins a gateway through the tunnel with a model of this machine. Only outgoing connections are made.
import { hostname } from 'node:os'
import { nodeIdentitySchema } from '../../src/tunnel/messages.ts'
import { version } from '../../src/version.ts'
import { type Backend, createNodeApi, listen, metricsOnly } from '../server/index.ts'
import { noBackend } from '../server/no-backend.ts'
import { TunnelClient } from '../server/tunnel-client.ts'
import { apiRoot, assertFree } from './address.ts'
import { backendOptions, logError, openBackend } from './backend.ts'
import { type Command, CommandError, type Invocation, note, UsageError } from './command.ts'
import { stopSignal } from './stop-signal.ts'
import { type ChosenTools, chooseTools, openTools, toolOptions } from './tool-options.ts'

/** How long requests under way may go on after SIGTERM. */
const drainMilliseconds = 2000
/** How long a launcher's gateway may take to start before its node says that it is not there. */
const launchMilliseconds = 5000

export const node: Command = {
  name: 'node',
  summary:
    'Joins a gateway with a model of this machine (the native engine, or any OpenAI-compatible server as the engine), with hosted tools, or with both.',
  usage:
    '--gateway URL --token T [--model PATH | --upstream URL] [--as ORG/NAME] [--name NODE] [--tools LIST]',
  details:
    'Works from behind any NAT: the node dials the gateway and dials again when the line drops.\nSIGTERM lets requests under way finish for two seconds.',
  options: {
    gateway: { type: 'string', value: 'URL', help: "the gateway's base URL", required: true },
    token: {
      type: 'string',
      value: 'T',
      help: 'secret to join with (better in the environment: SWITCHYARD_NODE_TOKEN)',
    },
    name: { type: 'string', value: 'NODE', help: "the node's name", default: 'the host name' },
    'metrics-port': {
      type: 'string',
      value: 'N',
      help: 'port for Prometheus: http://HOST:N/metrics tells how busy the node is and what it has done',
      default: 'none',
    },
    'metrics-host': {
      type: 'string',
      value: 'ADDRESS',
      help: 'address that it listens on, for whoever can reach it',
      default: '127.0.0.1',
    },
    ...backendOptions,
    ...toolOptions,
  },
  async run(invocation) {
    const token = invocation.text('token') ?? process.env.SWITCHYARD_NODE_TOKEN
    if (!token)
      throw new UsageError('--token is required (or SWITCHYARD_NODE_TOKEN in the environment).')
    // Said here, without the token: an HTTP client's own message would quote it.
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new UsageError('The token has characters that a header cannot carry.')
    if (token.startsWith('{'))
      throw new UsageError("This is the gateway's table of tokens; a node takes one of them.")
    const gateway = apiRoot(invocation.text('gateway') ?? '', '--gateway')
    const name =
      invocation.text('name') ??
      hostname()
        .split('.')[0]
        ?.toLowerCase()
        .replace(/[^a-z0-9_-]/g, '-') ??
      'node'
    if (!nodeIdentitySchema.shape.node.safeParse(name).success)
      throw new UsageError(
        `--name '${name}': at most 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit.`,
      )

    const scraped = await metricsAddress(invocation)
    const chosen = chooseTools(invocation)
    const backend = await openModel(invocation, chosen)
    const tools = await openTools(chosen)
    // It carries no prompts, so that it needs no key.
    const fetch = metricsOnly(backend)
    const metrics = scraped && (await listen({ ...scraped, fetch, keyed: true }))
    if (metrics) note(`switchyard node ${name}: metrics: ${metrics.url}/metrics`)
    const stopped = stopSignal()
    const api = createNodeApi({ backend, onError: logError, ...(tools ? { tools } : {}) })
    const offered = [...api.models.map(({ id }) => id), ...chosen.names].join(', ')
    let refused: string | undefined
    // `up` starts its node before the gateway listens: first dials that miss it are no news.
    let quietUntil = process.connected ? Date.now() + launchMilliseconds : 0
    const gaveUp = new Promise<void>((resolve) => {
      const client = new TunnelClient({
        gateway,
        token,
        hello: () => ({
          node: name,
          models: [...api.models],
          slots: api.slots,
          tools: [...(tools?.features ?? [])],
          pid: process.pid,
          agent: `switchyard/${version}`,
        }),
        status: () => api.status(),
        handle: api.handle,
        log(message) {
          if (Date.now() >= quietUntil) note(`switchyard node ${name}: ${message}`)
        },
        onState(state, reason) {
          if (state === 'joined' || state === 'stopped') quietUntil = 0
          if (state === 'joined') note(`switchyard node ${name}: joined ${gateway} with ${offered}`)
          if (state !== 'stopped') return
          refused = reason
          resolve()
        },
      })
      client.start()
      stopped.then(async () => {
        await Promise.race([
          client.drain(),
          new Promise((done) => setTimeout(done, drainMilliseconds).unref()),
        ])
        client.stop()
        resolve()
      }, resolve)
    })
    await gaveUp
    await metrics?.close(true)
    await tools?.close()
    await backend.close()
    if (refused !== undefined) throw new CommandError(refused)
    return 0
  },
}

/** Where metrics are asked for; rejects before a model is loaded where that address cannot be had. */
async function metricsAddress(invocation: Invocation) {
  if (invocation.text('metrics-port') === undefined) return undefined
  const port = invocation.integer('metrics-port', 0, { max: 65_535 })
  const host = invocation.text('metrics-host') ?? '127.0.0.1'
  if (port > 0) await assertFree(host, port, 'Choose another one with --metrics-port.')
  return { host, port }
}

/** A node may offer tools and no model. */
async function openModel(invocation: Invocation, { names }: ChosenTools): Promise<Backend> {
  const none = invocation.text('model') === undefined && invocation.text('upstream') === undefined
  if (!none) return openBackend(invocation)
  if (names.length > 0) return noBackend()
  throw new UsageError(
    'Give --model PATH, --upstream URL, or --tools LIST for a node without a model.',
  )
}
