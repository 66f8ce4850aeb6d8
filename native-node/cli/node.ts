// `switchyard node`: joins a gateway through the tunnel with a model of this machine. Only outgoing connections are made.
import { hostname } from 'node:os'
import { version } from '../../src/version.ts'
import { createNodeApi } from '../server/index.ts'
import { TunnelClient } from '../server/tunnel-client.ts'
import { backendOptions, logError, openBackend } from './backend.ts'
import { type Command, CommandError, note, UsageError } from './command.ts'
import { stopSignal } from './stop-signal.ts'

/** How long requests under way may go on after SIGTERM. */
const drainMilliseconds = 2000

export const node: Command = {
  name: 'node',
  summary:
    'Joins a gateway with a model of this machine: the native engine, or any OpenAI-compatible server as the engine.',
  usage: '--gateway URL --token T (--model DIR | --upstream URL) [--as ORG/NAME] [--name NODE]',
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
    ...backendOptions,
  },
  async run(invocation) {
    const token = invocation.text('token') ?? process.env.SWITCHYARD_NODE_TOKEN
    if (!token)
      throw new UsageError('--token is required (or SWITCHYARD_NODE_TOKEN in the environment).')
    // Said here, without the token: an HTTP client's own message would quote it.
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new UsageError('The token has characters that a header cannot carry.')
    const gateway = invocation.text('gateway') ?? ''
    if (!/^(https?|wss?):\/\/./.test(gateway) || !URL.canParse(gateway))
      throw new UsageError(`--gateway '${gateway}' is not an http or https URL.`)
    const name =
      invocation.text('name') ??
      hostname()
        .split('.')[0]
        ?.toLowerCase()
        .replace(/[^a-z0-9_-]/g, '-') ??
      'node'

    const stopped = stopSignal()
    const backend = await openBackend(invocation)
    const api = createNodeApi({ backend, onError: logError })
    let refused: string | undefined
    const gaveUp = new Promise<void>((resolve) => {
      const client = new TunnelClient({
        gateway,
        token,
        hello: () => ({
          node: name,
          models: [...api.models],
          slots: api.slots,
          pid: process.pid,
          agent: `switchyard/${version}`,
        }),
        status: () => api.status(),
        handle: api.handle,
        log: (message) => note(`switchyard node ${name}: ${message}`),
        onState(state, reason) {
          if (state === 'joined')
            note(
              `switchyard node ${name}: joined ${gateway} with ${api.models.map(({ id }) => id).join(', ')}`,
            )
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
    await backend.close()
    if (refused !== undefined) throw new CommandError(refused)
    return 0
  },
}
