// The files of Python's sessions for the host: what is asked of the process behind each, and what its answers mean.
import { ApiError } from '../../../src/errors.ts'
import type { ToolFiles } from '../tool.ts'
import type { FileMessage, WriteRefusal } from './messages.ts'
import type { FileAnswer, PythonProcess } from './process.ts'

export interface FileSessions {
  /** The process of a session; undefined where there is none. */
  open(session: string): PythonProcess | undefined
  /** Lets work go on with the session's process, which is started if need be; undefined where it cannot be. */
  begin<Result>(
    session: string,
    signal: AbortSignal,
    work: (process: PythonProcess) => Promise<Result>,
  ): Promise<Result | undefined>
  /** What all files of a session may have. */
  diskMiB: number
}

export function filesOf({ open, begin, diskMiB }: FileSessions): ToolFiles {
  return {
    async list(session) {
      const process = open(session)
      if (process === undefined) return []
      const { answer } = await ask(process, { type: 'list' })
      return answer.type === 'list' ? answer.files : []
    },
    async read(session, path) {
      const process = open(session)
      if (process === undefined) return undefined
      const { answer, bytes } = await ask(process, { type: 'read', path })
      // An empty file has a frame, too.
      return answer.type === 'read' && answer.found ? bytes : undefined
    },
    async write(session, path, bytes, signal) {
      const answered = await begin(session, signal, (process) =>
        ask(process, { type: 'write', path }, bytes),
      )
      if (answered === undefined) {
        throw new ApiError('no_capacity', 'The container is in use.', { retryAfter: 1 })
      }
      const { answer } = answered
      if (answer.type === 'write' && answer.refused) throw refusal(answer.refused, diskMiB)
    },
    async remove(session, path) {
      const process = open(session)
      if (process === undefined) return false
      const { answer } = await ask(process, { type: 'remove', path })
      return answer.type === 'remove' && answer.found
    },
  }
}

async function ask(
  process: PythonProcess,
  message: FileMessage,
  body?: Uint8Array,
): Promise<FileAnswer> {
  try {
    return await process.file(message, body)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const text = `The container's Python was lost, and its files with it: ${why}.`
    throw new ApiError('upstream_error', text, { cause })
  }
}

function refusal(why: NonNullable<WriteRefusal>, diskMiB: number): ApiError {
  const param = 'file'
  switch (why) {
    case 'space':
      return new ApiError(
        'body_too_large',
        `There is no room for the file: the files of a container may have ${diskMiB} MiB together.`,
        { param },
      )
    case 'number':
      return new ApiError('invalid_value', 'The container has too many files already.', { param })
    case 'place':
      return new ApiError(
        'invalid_value',
        "The file cannot be written at its path: something that is no file of the container's is there.",
        { param },
      )
  }
}
