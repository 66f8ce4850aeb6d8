// Runs `bin/switchyard` as a user would and gives back what came out.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const fixture = (path: string) =>
  fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url))

export interface Ran {
  code: number | null
  stdout: Buffer
  stderr: string
}

export function switchyard(
  words: string[],
  options: { input?: string | Buffer; cwd?: string; env?: Record<string, string> } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(`${root}bin/switchyard`, words, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    })
    const stdout: Buffer[] = []
    let stderr = ''
    child.stdout.on('data', (piece: Buffer) => stdout.push(piece))
    child.stderr.on('data', (piece: Buffer) => {
      stderr += piece.toString()
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }))
    // A command that ends before it has read its input is no fault of the test.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
  })
}

/** Rows of a .npy file of float32. */
export function readNpy(bytes: Buffer): { shape: number[]; rows: Float32Array[]; header: string } {
  const length = bytes.readUInt16LE(8)
  const header = bytes.subarray(10, 10 + length).toString('latin1')
  const shape = [...(/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').matchAll(/\d+/g)].map(
    ([digits]) => Number(digits),
  )
  const [count = 0, width = 0] = shape
  const data = new Float32Array(new Uint8Array(bytes.subarray(10 + length)).buffer)
  return {
    shape,
    header,
    rows: Array.from({ length: count }, (_, row) => data.subarray(row * width, (row + 1) * width)),
  }
}
