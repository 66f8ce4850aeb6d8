// What `--model` names: a folder of safetensors, or a GGUF file, by itself or alone in a folder.
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { getSystemErrorMessage } from 'node:util'
import { ModelFolderError, missing } from './model-files.ts'

/** `path`: the folder; or the file, of several parts the first. */
export interface ModelPlace {
  kind: 'safetensors' | 'gguf'
  path: string
}

const mostListed = 8

/** Finds the model at a path; throws ModelFolderError with what was found instead. */
export async function findModel(path: string): Promise<ModelPlace> {
  const found = await stat(path).catch(async (cause: unknown) => {
    if (isMissing(cause)) {
      await missing(path)
      throw new ModelFolderError('not_found', `${path}: no such file or folder.`)
    }
    throw unreadable(path, cause)
  })
  // Whether it is one, its first bytes say: Ollama's files have no ending.
  if (!found.isDirectory()) return { kind: 'gguf', path }
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  const names = entries.map(({ name }) => name).sort()
  const folders = new Set(entries.filter((entry) => entry.isDirectory()).map(({ name }) => name))
  const files = names.filter(
    (name) => name.endsWith('.gguf') && !isLaterPart(name) && !folders.has(name),
  )
  const checkpoint = names.some((name) => /\.safetensors(\.index\.json)?$/.test(name))
  const [only, ...others] = files
  if (checkpoint || only === undefined) {
    if (checkpoint || names.includes('config.json')) return { kind: 'safetensors', path }
    const message = `${path} holds no model: neither config.json nor a .gguf file, but ${list(names)}.`
    throw new ModelFolderError('not_found', message)
  }
  if (others.length === 0) return { kind: 'gguf', path: join(path, only) }
  const message = `${path} holds several GGUF files: ${list(files)}. Name one of them.`
  throw new ModelFolderError('invalid_file', message)
}

/** A model's name as its place has it: without the ending and the number of a part. */
export function modelName({ kind, path }: ModelPlace): string {
  const name = basename(path)
  return kind === 'gguf' ? name.replace(/(-\d{5}-of-\d{5})?\.gguf$/, '') : name
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && /^(ENOENT|ENOTDIR)$/.test(String(cause.code))
}

function unreadable(path: string, cause: unknown): ModelFolderError {
  const known = cause instanceof Error && 'errno' in cause && typeof cause.errno === 'number'
  const reason = known ? getSystemErrorMessage(Number(cause.errno)) : String(cause)
  return new ModelFolderError('invalid_file', `${path} can not be read: ${reason}.`, { cause })
}

function isLaterPart(name: string): boolean {
  const part = /-(\d{5})-of-\d{5}\.gguf$/.exec(name)?.[1]
  return part !== undefined && Number(part) > 1
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'nothing'
  const rest = names.length - mostListed
  const listed = names.slice(0, mostListed).join(', ')
  return rest > 0 ? `${listed} and ${rest} more` : listed
}
