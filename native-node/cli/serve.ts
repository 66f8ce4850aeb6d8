// `switchyard serve`: one model's OpenAI API on this machine, without a gateway.
import { join } from 'node:path'
import { createNodeApi, listen, openResponseFile, type ResponseFile } from '../server/index.ts'
import { newId } from '../server/local-api.ts'
import { assertFree } from './address.ts'
import { backendOptions, chooseBackend, logError } from './backend.ts'
import { type Command, CommandError, note, UsageError } from './command.ts'
import { isLoopback, stateFolder } from './gateway-process.ts'
import { sealSecret } from './seal-secret.ts'
import { stopSignal } from './stop-signal.ts'
import { chooseTools, openTools, toolOptions } from './tool-options.ts'

/** How long requests under way may go on after SIGTERM, as a node's. */
const drainMilliseconds = 2000

export const serve: Command = {
  name: 'serve',
  summary: "Serves a model's OpenAI API (Responses and Chat Completions) without a gateway.",
  usage:
    '--model PATH | --upstream URL [--port 8788] [--host 127.0.0.1] [--as ORG/NAME] [--tools LIST]',
  options: {
    ...backendOptions,
    ...toolOptions,
    port: { type: 'string', value: 'N', help: 'port (0: any free one)', default: '8788' },
    host: { type: 'string', value: 'ADDRESS', help: 'address to listen on', default: '127.0.0.1' },
    'key-env': {
      type: 'string',
      value: 'NAME',
      help: 'environment variable with the key that clients must send; without it only this machine is served',
    },
    store: {
      type: 'string',
      value: 'FILE',
      help: 'where responses are kept',
      default: '.switchyard/serve-<port>.sqlite',
    },
    'request-log': {
      type: 'boolean',
      help: 'write a line of JSON for each request that has ended, without prompts or answers',
    },
  },
  async run(invocation) {
    const port = invocation.integer('port', 8788, { max: 65_535 })
    const keyEnv = invocation.text('key-env')
    const key = keyEnv === undefined ? undefined : process.env[keyEnv]
    if (keyEnv !== undefined && !key) throw new UsageError(`--key-env: ${keyEnv} is not set.`)
    const host = invocation.text('host') ?? '127.0.0.1'
    if (key === undefined && !isLoopback(host))
      throw new CommandError(
        `${host} is reachable by others and no key is set. Name one with --key-env NAME, or listen on 127.0.0.1.`,
      )
    if (port > 0) await assertFree(host, port, 'Choose another one with --port.')
    const openModel = await chooseBackend(invocation)
    const chosen = chooseTools(invocation)
    const file = await openStore(
      invocation.text('store') ?? join(stateFolder(), `serve-${port}.sqlite`),
    )
    const backend = await openModel()
    const tools = await openTools(chosen)
    const api = createNodeApi({
      backend,
      ...(tools === undefined ? {} : { tools }),
      ...(file === undefined ? {} : { store: file.store }),
      mcpHosts: chosen.config.egress.mcpHosts,
      origins: chosen.config.cors.origins,
      onError: logError,
      sealSecret: sealSecret(stateFolder()),
      ...(invocation.flag('request-log') ? { requestLog: note } : {}),
      ...(key ? { key } : {}),
    })
    const server = await listen({
      fetch: api.fetch,
      acceptSocket: api.acceptSocket,
      host,
      port,
      keyed: key !== undefined,
    }).catch(async (error: unknown) => {
      await tools?.close()
      await backend.close()
      file?.close()
      throw error
    })
    note(`switchyard: ready: ${server.url}/v1  (${backend.models.map(({ id }) => id).join(', ')})`)
    await stopSignal()
    await server.drain(drainMilliseconds)
    await tools?.close()
    await backend.close()
    file?.close()
    return 0
  },
}

/** Undefined where Node has no SQLite: everything works but what needs a memory. */
async function openStore(path: string): Promise<ResponseFile | undefined> {
  try {
    return await openResponseFile({ path, newId, onError: logError })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ERR_UNKNOWN_BUILTIN_MODULE') {
      note('switchyard: responses are not kept: Node before 22.13 has no SQLite.')
      return undefined
    }
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(`The response store ${path} cannot be opened (--store): ${why}`)
  }
}
