// `switchyard up` (npm start): the gateway in workerd through miniflare and, as a child process, one node joined to it
// through the tunnel. Each is started again when it dies; SIGTERM or SIGINT ends everything.
import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { findModel } from '../server/find-model.ts'
import { demoModel, programEnding } from '../server/installation.ts'
import { assertFree } from './address.ts'
import { type Command, note, parseInteger } from './command.ts'
import { keepGateway } from './gateway-keeper.ts'
import { gatewaySettings, stateFolder } from './gateway-process.ts'
import { lockFolder } from './process-guard.ts'
import { draftedTokens, speculate } from './speculate.ts'
import { stopSignal } from './stop-signal.ts'
import { chooseTools, toolOptions } from './tool-options.ts'
import { weightsCache, weightsCacheFolder } from './weights-cache.ts'

export const up: Command = {
  name: 'up',
  summary:
    'Starts the gateway and one node on this machine: the OpenAI API on one base URL, with the demo model.',
  usage:
    '[--port N] [--host ADDRESS] [--model PATH --as ORG/NAME] [--no-node] [--tools LIST | --no-tools]',
  details:
    'Environment: PORT, HOST; SWITCHYARD_CONFIG_FILE (default: switchyard.json in this folder, when it is there);\n' +
    'SWITCHYARD_KEYS (API keys; without it the gateway is open, on loopback only); provider keys such as GROQ_API_KEY.\n' +
    'State is kept in .switchyard/ of this folder.',
  options: {
    port: { type: 'string', value: 'N', help: 'port', default: '$PORT or 8787' },
    host: {
      type: 'string',
      value: 'ADDRESS',
      help: 'address to listen on',
      default: '$HOST or 127.0.0.1',
    },
    model: {
      type: 'string',
      value: 'PATH',
      help: 'checkpoint folder or GGUF file for the node',
      default: 'the demo model',
    },
    as: { type: 'string', value: 'ORG/NAME', help: "the model's public id" },
    speculate,
    'weights-cache': weightsCache,
    'no-node': { type: 'boolean', help: 'the gateway alone' },
    ...toolOptions,
    tools: {
      ...toolOptions.tools,
      default: 'code_interpreter, and web_search where switchyard.json has a search engine',
    },
  },
  async run(invocation) {
    const host = invocation.text('host') ?? (process.env.HOST || '127.0.0.1')
    const port =
      invocation.text('port') === undefined
        ? parseInteger(process.env.PORT || '8787', 'PORT', 1, 65_535)
        : invocation.integer('port', 8787, { min: 1, max: 65_535 })
    const withNode = !invocation.flag('no-node')
    const model = resolve(invocation.text('model') ?? demoModel)
    if (withNode) await findModel(model)
    // workerd's own message about a taken port is hard to read.
    await assertFree(host, port, 'Choose another port with --port or PORT.')

    const guesses = draftedTokens(invocation.text('speculate'))
    const cache = invocation.text('weights-cache')
    weightsCacheFolder(cache) // a wrong word is refused here, and not by a node that is started again and again
    const settings = gatewaySettings(host)
    const tools = chooseTools(invocation, ['code_interpreter']).names.join(',')
    const unlock = lockFolder(stateFolder())
    process.once('exit', unlock)
    const base = urlOf(host, port)
    const stopping = new AbortController()
    void stopSignal().then((why) => {
      note(`switchyard: ${why}, stopping`)
      stopping.abort()
    })

    // The node loads its model while workerd starts; its tunnel dials until the gateway is there.
    const node = withNode
      ? new NodeKeeper(
          [
            ...['--gateway', base, '--model', model, ...publicId(model, invocation.text('as'))],
            ...(cache === undefined ? [] : ['--weights-cache', cache]),
            ...(guesses > 0 ? ['--speculate', `ngram:${guesses}`] : []),
            ...(tools === '' ? ['--no-tools'] : ['--tools', tools]),
          ],
          settings.nodeToken,
        )
      : undefined
    const gateway = await keepGateway({ host, port, settings, expectNode: withNode }).catch(
      (error: unknown) => {
        node?.stop()
        throw error
      },
    )
    if (settings.open)
      note('switchyard: open to this machine: no API keys are set (SWITCHYARD_KEYS)')
    else if (withNode) note(`switchyard: the node serves the tenant '${settings.nodeTenant}'`)
    const ready = await waitUntilHealthy(base, stopping.signal)
    if (ready) note(`switchyard: ready: ${base}/v1`)
    try {
      await Promise.race([aborted(stopping.signal), gateway.failed])
    } finally {
      await node?.stop()
      await gateway.stop()
    }
    return 0
  },
}

/** Where this machine reaches what listens on `host`. */
function urlOf(host: string, port: number): string {
  const own = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${own.includes(':') ? `[${own}]` : own}:${port}`
}

function publicId(model: string, as: string | undefined): string[] {
  if (as !== undefined) return ['--as', as]
  return model === demoModel ? ['--as', 'switchyard/demo', '--name', 'demo'] : []
}

/** The node's process: started at once, started again within two seconds when it dies. */
class NodeKeeper {
  #child: ChildProcess | undefined
  #stopped = false
  #timer: NodeJS.Timeout | undefined
  readonly #words: string[]
  readonly #token: string

  constructor(words: string[], token: string) {
    this.#words = words
    this.#token = token
    this.#start()
  }

  #start() {
    const started = Date.now()
    const entry = join(import.meta.dirname, `index${programEnding}`)
    // The token travels in the environment: a command line is visible to every user of the machine. The IPC channel tells
    // the node that this process is gone, however it went.
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', entry, 'node', ...this.#words],
      {
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
        env: { ...process.env, SWITCHYARD_NODE_TOKEN: this.#token },
        // A terminal's Ctrl-C reaches the whole process group; the node is ended by us, after the gateway's clients.
        detached: true,
      },
    )
    child.stdout?.pipe(process.stderr, { end: false })
    this.#child = child
    child.on('exit', (code, signal) => {
      this.#child = undefined
      if (this.#stopped) return
      // At once after a long life; after a short one it is likely to die again.
      const delay = Date.now() - started > 10_000 ? 100 : 1500
      note(`switchyard: the node ended (${signal ?? `exit ${code}`}); starting it again`)
      this.#timer = setTimeout(() => this.#start(), delay)
    })
    child.on('error', (error) => note(`switchyard: the node cannot be started: ${error.message}`))
  }

  /** Lets the node drain for a moment, then ends it. */
  stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    const child = this.#child
    if (!child) return Promise.resolve()
    return new Promise((done) => {
      const hard = setTimeout(() => child.kill('SIGKILL'), 3000)
      child.once('exit', () => {
        clearTimeout(hard)
        done()
      })
      child.kill('SIGTERM')
    })
  }
}

async function waitUntilHealthy(base: string, signal: AbortSignal): Promise<boolean> {
  const started = Date.now()
  for (let told = false; !signal.aborted; ) {
    const response = await fetch(`${base}/health`, { signal: AbortSignal.timeout(2000) }).catch(
      () => undefined,
    )
    await response?.body?.cancel()
    if (response?.ok) return true
    if (!told && Date.now() - started > 10_000) {
      told = true
      note('switchyard: still waiting for the node to join …')
    }
    await new Promise((done) => setTimeout(done, 50))
  }
  return false
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}
