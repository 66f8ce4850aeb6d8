// The two ways to read a body's bytes: as the runtime gives them, and gathered.

/** Where bytes are read from. */
export interface ByteReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}

/** Another way to read a body, dearer to set up, in which one read brings all that has come. */
export type Gather = (body: ReadableStream<Uint8Array>) => ByteReader
