// What a checkpoint's folder says about generation: stop ids and sampling defaults.
// https://huggingface.co/docs/transformers/main_classes/text_generation (generation_config.json)
import { readFile, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'

const eos = z.union([z.int(), z.array(z.int())]).nullish()
const configSchema = z.looseObject({ eos_token_id: eos })
const generationSchema = z.looseObject({
  eos_token_id: eos,
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
})

/** Sampling where a request says nothing. */
export interface SamplingDefaults {
  temperature: number
  topP: number
  topK: number
  minP: number
}

export interface GenerationConfig {
  eosIds: number[]
  defaults: SamplingDefaults
}

/** A model's folder can not be used; `code` as in include/status.h. */
export class ModelFolderError extends Error {
  readonly code: 'not_found' | 'invalid_file' | 'unsupported'

  constructor(code: ModelFolderError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ModelFolderError'
    this.code = code
  }
}

/** Sampling where no file says anything. */
export const plainSampling: SamplingDefaults = { temperature: 1, topP: 1, topK: 0, minP: 0 }

/** Reads config.json (required) and generation_config.json (optional) of a model's folder. */
export async function readGenerationConfig(modelDir: string): Promise<GenerationConfig> {
  const config = await readJson(join(modelDir, 'config.json'), configSchema)
  if (config === undefined) {
    throw new ModelFolderError('not_found', `No model in ${modelDir}: config.json is missing.`)
  }
  const generation =
    (await readJson(join(modelDir, 'generation_config.json'), generationSchema)) ?? {}
  const greedy = generation.do_sample === false
  return {
    eosIds: [config.eos_token_id, generation.eos_token_id].flat().filter((id) => id != null),
    defaults: {
      temperature: greedy ? 0 : (generation.temperature ?? plainSampling.temperature),
      topP: generation.top_p ?? plainSampling.topP,
      topK: generation.top_k ?? plainSampling.topK,
      minP: generation.min_p ?? plainSampling.minP,
    },
  }
}

/** Undefined; throws where there is a link whose file is gone, as in a cache of downloads that was cleared by half. */
export async function missing(path: string): Promise<undefined> {
  const target = await readlink(path).catch(() => undefined)
  if (target === undefined) return undefined
  const message = `${path} is a link to ${target}, which is not there.`
  throw new ModelFolderError('not_found', message)
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  let text: string
  try {
    // A pipe that nobody writes to would be waited for without end.
    if (!(await stat(path)).isFile()) {
      throw new ModelFolderError('invalid_file', `${path} is not a regular file.`)
    }
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return missing(path)
    if (cause instanceof ModelFolderError) throw cause
    throw new ModelFolderError('invalid_file', `${path} can not be read.`, { cause })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ModelFolderError('invalid_file', `${path} is not valid JSON.`, { cause })
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.') ?? ''
  throw new ModelFolderError('invalid_file', `${path}: ${field}: ${issue?.message}`)
}
