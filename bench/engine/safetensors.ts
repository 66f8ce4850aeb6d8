// Just enough of the safetensors format to copy tensors out of a checkpoint that `switchyard synth` wrote.
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

interface Entry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}

export interface Tensor {
  dtype: string
  shape: number[]
  bytes: number
  /** Bytes [offset, offset + length) of the tensor. */
  read(offset: number, length: number): Uint8Array
}

export interface Checkpoint {
  /** Throws when there is no such tensor. */
  tensor(name: string): Tensor
  close(): void
}

/** Opens every *.safetensors file of a folder. */
export function openCheckpoint(folder: string): Checkpoint {
  const tensors = new Map<string, Tensor>()
  const files: number[] = []
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
    const file = openSync(join(folder, name), 'r')
    files.push(file)
    const length = Number(readAt(file, 0, 8).readBigUInt64LE())
    const header: Record<string, Entry> = JSON.parse(readAt(file, 8, length).toString())
    for (const [tensor, { dtype, shape, data_offsets: at }] of Object.entries(header)) {
      if (tensor === '__metadata__') continue
      const start = 8 + length + at[0]
      const read = (offset: number, size: number) => readAt(file, start + offset, size)
      tensors.set(tensor, { dtype, shape, bytes: at[1] - at[0], read })
    }
  }
  return {
    tensor(name) {
      const found = tensors.get(name)
      if (!found) throw new Error(`${folder} has no tensor ${name}`)
      return found
    },
    close() {
      for (const file of files) closeSync(file)
    },
  }
}

function readAt(file: number, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length)
  for (let done = 0; done < length; ) {
    const read = readSync(file, buffer, done, length - done, position + done)
    if (read === 0) throw new Error('a safetensors file ends too early')
    done += read
  }
  return buffer
}
