// What `serve` and `node` share: the model behind them, either our engine or a server that its owner already runs.
import { resolve } from 'node:path'
import { ApiError } from '../../src/errors.ts'
import { nodeModelSchema } from '../../src/tunnel/messages.ts'
import { findModel, type ModelPlace, modelName } from '../server/find-model.ts'
import { type Backend, connectUpstream, EngineBackend, loadNodeEngine } from '../server/index.ts'
import { newId } from '../server/local-api.ts'
import { apiRoot } from './address.ts'
import {
  CommandError,
  type Invocation,
  note,
  type Option,
  parseChoice,
  UsageError,
} from './command.ts'
import { engineOptions, readEngineOptions } from './engine-options.ts'
import { progressLine } from './progress.ts'
import { draftedTokens, speculate } from './speculate.ts'
import { weightsCacheFolder } from './weights-cache.ts'

export const backendOptions = {
  model: {
    type: 'string',
    value: 'PATH',
    help: 'checkpoint folder or GGUF file for the native engine',
  },
  upstream: {
    type: 'string',
    value: 'URL',
    help: 'an OpenAI-compatible server (vLLM, SGLang, llama-server) as the engine, instead of --model',
  },
  'upstream-key-env': {
    type: 'string',
    value: 'NAME',
    help: "environment variable with that server's key",
  },
  'upstream-dialects': {
    type: 'string',
    value: 'LIST',
    help: 'what it speaks, best first: chat, responses',
    default: 'chat',
  },
  'allow-hosts': {
    type: 'string',
    value: 'LIST',
    help: 'the only hosts that pictures may come from, with --upstream: host, host:port, *.domain',
    default: 'all public ones',
  },
  as: {
    type: 'string',
    value: 'ORG/NAME',
    help: 'public model id',
    default: 'local/<name of the folder or file>',
  },
  ...engineOptions,
  speculate,
  slots: {
    type: 'string',
    value: 'N',
    help: 'requests that run at once; more wait',
    default: '16, or 64 with --upstream',
  },
  context: {
    type: 'string',
    value: 'N',
    help: "longest context in tokens (0: the model's own)",
    default: '0',
  },
} as const satisfies Record<string, Option>

/** Words for the one kind of engine that mean nothing to the other. */
const ownOptions = [...Object.keys(engineOptions), 'speculate', 'context']
const serverOptions = ['upstream-key-env', 'upstream-dialects', 'allow-hosts']

/** Loads the model or finds the server; throws what `chooseBackend` does. */
export async function openBackend(invocation: Invocation): Promise<Backend> {
  const open = await chooseBackend(invocation)
  return open()
}

/**
 * What the words ask for, and how to open it. Throws UsageError where they are off, ModelFolderError where no model is: before
 * anything slow is done or a file is made.
 */
export async function chooseBackend(invocation: Invocation): Promise<() => Promise<Backend>> {
  const model = invocation.text('model')
  const upstream = invocation.text('upstream')
  if ((model === undefined) === (upstream === undefined))
    throw new UsageError('Give either --model PATH or --upstream URL.')
  const as = invocation.text('as')
  if (as !== undefined && !nodeModelSchema.shape.id.safeParse(as).success)
    throw new UsageError(`--as '${as}' is no model id.`)
  const slots = invocation.integer('slots', 0, { min: 1, max: 4096 })
  const named = { ...(as === undefined ? {} : { as }), ...(slots > 0 ? { slots } : {}) }
  const [idle, place] =
    upstream === undefined ? [serverOptions, '--upstream'] : [ownOptions, '--model']
  const given = idle.find((name) => invocation.text(name) !== undefined)
  if (given !== undefined) throw new UsageError(`--${given} goes with ${place}.`)
  return upstream === undefined
    ? chooseEngine(invocation, model ?? '', named)
    : chooseServer(invocation, upstream, named)
}

interface Named {
  as?: string
  slots?: number
}

function chooseServer(invocation: Invocation, upstream: string, named: Named) {
  const keyEnv = invocation.text('upstream-key-env')
  const key = keyEnv === undefined ? undefined : process.env[keyEnv]
  if (keyEnv !== undefined && !key)
    throw new UsageError(`--upstream-key-env: ${keyEnv} is not set.`)
  const dialects = (invocation.text('upstream-dialects') ?? 'chat')
    .split(',')
    .map((word) => parseChoice(word, '--upstream-dialects', ['chat', 'responses'] as const))
  const allowHosts = invocation.text('allow-hosts')?.toLowerCase().split(',')
  const url = apiRoot(upstream, '--upstream')
  return () =>
    connectUpstream({
      url,
      dialects,
      ...(allowHosts ? { egress: { allowHosts } } : {}),
      log: note,
      ...(key ? { key } : {}),
      ...named,
    }).catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error
      throw new CommandError(`--upstream ${url}: ${error.message}${causeOf(error)}`)
    })
}

async function chooseEngine(invocation: Invocation, model: string, { as, slots }: Named) {
  const options = {
    ...readEngineOptions(invocation),
    speculate: draftedTokens(invocation.text('speculate')),
    maxContext: invocation.integer('context', 0, { max: 2 ** 24 }),
    ...(slots === undefined ? {} : { maxSequences: slots }),
  }
  const cache = weightsCacheFolder(invocation.text('weights-cache'))
  const place = await findModel(resolve(model))
  return async () => {
    const progress = progressLine(`loading ${place.path}`)
    const engine = await loadNodeEngine({
      modelDir: place.path,
      ...options,
      ...cache(place),
      onProgress: (fraction) => progress.update(fraction),
    })
    progress.done()
    if (engine.info.weightsCache) note(`switchyard: packed weights: ${engine.info.weightsCache}`)
    return new EngineBackend({
      engine,
      model: as ?? localId(place),
      now: Date.now,
      newId,
      onError: logError,
    })
  }
}

/** The id of a model that nobody named: its folder's or file's name, as far as an id can carry it. */
export function localId(place: ModelPlace): string {
  const plain = modelName(place)
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
  return `local/${plain.slice(0, 200) || 'model'}`
}

/** A line for the node's log; prompt text never passes here. */
export function logError(error: unknown) {
  const message = error instanceof Error ? error.message : String(error)
  note(`${new Date().toISOString()} ${message}${causeOf(error)}`)
}

function causeOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : ''
}
