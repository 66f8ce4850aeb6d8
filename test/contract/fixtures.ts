// The folders of test/fixtures/providers: bytes, and for each where they are from.
import { readdirSync, readFileSync } from 'node:fs'

/** Bytes seen on the wire, composed from documentation or a report, or composed by analogy. */
export type Origin = 'recorded' | 'documented' | 'assumed'

export interface Manifest {
  /** Part of the message of the error in mid-stream-error.sse. */
  midStreamError: string
  sources: { files: string[]; origin: Origin; url: string; note: string }[]
}

const root = new URL('../fixtures/providers/', import.meta.url)

export function fixtureFolders(): string[] {
  return readdirSync(root)
}

export function fixtureFolderUrl(folder: string): URL {
  return new URL(`${folder}/`, root)
}

export function readFixture(folder: string, file: string): string {
  return readFileSync(new URL(file, fixtureFolderUrl(folder)), 'utf8')
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFixture(folder, 'fixture.json')) as Manifest
}
