// What the model reads of a cell that ran.
import { fileId } from '../file-id.ts'
import type { ToolResult } from '../tool.ts'
import { mediaType } from './media-type.ts'
import { type CellEnd, stuck } from './process.ts'

/** gpt-oss was trained on the first sentence; the second is what a notebook adds to it. */
const noOutput =
  '[WARN] No output available. Use print() to output anything to stdout, or end the code with an expression, to receive the output'

interface Circumstances {
  /** Why the code was stopped, if it was. */
  stopped: string
  /** True: the session had been lost before this call, and nobody has been told. */
  replaced: boolean
}

export function cellResult(end: CellEnd, { stopped, replaced }: Circumstances): ToolResult {
  const { output } = end
  const notes = end.type === 'done' ? doneNotes(end, stopped) : [lostNote(end.reason, stopped)]
  const before = replaced
    ? ['The earlier session ended; this is a new one, without its variables and files.']
    : []
  const isError = end.type === 'lost' || end.interrupted || !end.ok
  const raised = end.type === 'done' && !end.interrupted && !end.ok
  const all = [...before, ...notes]
  return {
    text: withNotes(output === '' && all.length === 0 ? noOutput : output, all),
    isError,
    // What became of the code is the client's to know, and in a later turn the model's again.
    logs: withNotes(output, notes),
    ...(raised ? { raised } : {}),
    ...(end.type === 'done' && end.files.length > 0 ? { files: end.files.map(named) } : {}),
  }
}

function named<File extends { path: string }>(file: File) {
  return { ...file, id: fileId(file.path), mediaType: mediaType(file.path) }
}

/** A result that says why no code ran. */
export function failure(why: string): ToolResult {
  return { text: `Error: ${why}`, isError: true }
}

export function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} seconds`
}

function withNotes(output: string, notes: readonly string[]): string {
  if (notes.length === 0) return output
  const joint = output === '' || output.endsWith('\n') ? '' : '\n'
  return output + joint + notes.map((note) => `[${note}]`).join('\n')
}

function doneNotes(end: Extract<CellEnd, { type: 'done' }>, stopped: string): string[] {
  const { dropped, interrupted, leftOut } = end
  const names = leftOut.slice(0, 10).join(', ') + (leftOut.length > 10 ? ', …' : '')
  return [
    ...(dropped > 0 ? [`The output was cut: ${dropped} more bytes were printed.`] : []),
    ...(leftOut.length > 0 ? [`Not returned, too many or too large: ${names}`] : []),
    ...(interrupted ? [`The code was interrupted: ${stopped}. Variables and files are kept.`] : []),
  ]
}

const gone = 'Its variables and files are gone; the next call starts a new session.'

function lostNote(reason: string, stopped: string): string {
  return reason === stuck
    ? `The session was ended: ${stopped}, and the code did not stop when interrupted. ${gone}`
    : `The session was ended: ${reason}. ${gone}`
}
