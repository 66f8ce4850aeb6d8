// What the node and a Python process say to each other, as JSON. The node checks every answer: behind the pipe runs code that
// a stranger wrote.
import { z } from 'zod'

/** Runs one cell. */
export interface RunMessage {
  code: string
  /** Put into /mnt/data first. */
  files: { path: string; data: string }[]
  /** Which of the changed files bring their bytes along; unset: as many as may. */
  fileData?: 'images' | undefined
}

/** Something to do with the files of /mnt/data, between cells. The bytes of `write` follow in a frame of their own. */
export type FileMessage =
  | { type: 'list' }
  | { type: 'read'; path: string }
  | { type: 'write'; path: string }
  | { type: 'remove'; path: string }

export type ChildMessage = ({ type: 'run' } & RunMessage) | FileMessage

/** What a process is started with; its only argument. */
export interface ChildSettings {
  /** The folder of the npm package `pyodide`. */
  pyodideFolder: string
  /** True: there is no snapshot yet; make one and send it. */
  makeSnapshot: boolean
  /** Of what the code prints in one call; more is counted and dropped. */
  outputBytes: number
  /** Of all files in the session. */
  diskBytes: number
  /** Files that one call may send back, and their bytes together. */
  files: number
  fileBytes: number
  /** Files that one call may name. */
  fileNames: number
  /** Milliseconds after which a call ends the process from inside, should the node no longer do it. */
  lastResortMs: number
}

/** Why a file of /mnt/data did not come back is told to the model. */
const file = z.object({
  path: z.string().max(1024),
  bytes: z.int().min(0),
  data: z.exactOptional(z.string()),
})

const storedFile = z.object({
  path: z.string().max(1024),
  bytes: z.int().min(0),
  /** Milliseconds since the epoch. */
  modified: z.number().min(0).max(8.64e15),
  /** It is as it was put there from outside. */
  given: z.boolean(),
})

export const answerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({
    type: z.literal('done'),
    /** False: the code ended in an exception, which the output shows. */
    ok: z.boolean(),
    /** Bytes that were printed beyond the limit. */
    dropped: z.number().min(0),
    files: z.array(file).max(1000),
    /** Paths of files that were too many or too large to come back. */
    leftOut: z.array(z.string().max(1024)).max(1000),
  }),
  z.object({ type: z.literal('list'), files: z.array(storedFile).max(10_000) }),
  /** The bytes of a file that was there have come before it. */
  z.object({ type: z.literal('read'), found: z.boolean() }),
  z.object({ type: z.literal('write'), refused: z.enum(['space', 'number', 'place']).nullable() }),
  z.object({ type: z.literal('remove'), found: z.boolean() }),
  /** The process ends itself; why. */
  z.object({ type: z.literal('end'), reason: z.string().max(4096) }),
])

export type Answer = z.infer<typeof answerSchema>
export type DoneAnswer = Extract<Answer, { type: 'done' }>
export type StoredFile = z.infer<typeof storedFile>
/** Why a file was not written: no room for its bytes, too many files, or something else is in its place. */
export type WriteRefusal = Extract<Answer, { type: 'write' }>['refused']
