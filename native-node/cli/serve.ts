// `switchyard serve`: one model's OpenAI API on this machine, without a gateway.
import { createNodeApi, listen } from '../server/index.ts'
import { backendOptions, logError, openBackend } from './backend.ts'
import { type Command, note, UsageError } from './command.ts'
import { stateFolder } from './gateway-process.ts'
import { sealSecret } from './seal-secret.ts'
import { stopSignal } from './stop-signal.ts'

export const serve: Command = {
  name: 'serve',
  summary: "Serves a model's OpenAI API (Responses and Chat Completions) without a gateway.",
  usage: '--model DIR [--port 8788] [--host 127.0.0.1] [--as ORG/NAME]',
  options: {
    ...backendOptions,
    port: { type: 'string', value: 'N', help: 'port (0: any free one)', default: '8788' },
    host: { type: 'string', value: 'ADDRESS', help: 'address to listen on', default: '127.0.0.1' },
    'key-env': {
      type: 'string',
      value: 'NAME',
      help: 'environment variable with the key that clients must send; without it only this machine is served',
    },
  },
  async run(invocation) {
    const port = invocation.integer('port', 8788, { max: 65_535 })
    const keyEnv = invocation.text('key-env')
    const key = keyEnv === undefined ? undefined : process.env[keyEnv]
    if (keyEnv !== undefined && !key) throw new UsageError(`--key-env: ${keyEnv} is not set.`)
    const backend = await openBackend(invocation)
    const api = createNodeApi({
      backend,
      onError: logError,
      sealSecret: sealSecret(stateFolder()),
      ...(key ? { key } : {}),
    })
    const server = await listen({
      fetch: api.fetch,
      acceptSocket: api.acceptSocket,
      host: invocation.text('host') ?? '127.0.0.1',
      port,
      keyed: key !== undefined,
    }).catch(async (error: unknown) => {
      await backend.close()
      throw error
    })
    note(`switchyard: ready: ${server.url}/v1  (${backend.models.map(({ id }) => id).join(', ')})`)
    await stopSignal()
    await server.close(true)
    await backend.close()
    return 0
  },
}
