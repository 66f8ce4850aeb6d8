// Writes .npy version 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): `<f4`, C order.
import { endianness } from 'node:os'

/** The file's bytes for a float32 matrix of `rows` x `columns`. */
export function npyFloat32(data: Float32Array, rows: number, columns: number): Uint8Array[] {
  if (data.length !== rows * columns)
    throw new RangeError(`${data.length} values do not fill ${rows} x ${columns}`)
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`
  // Magic (6), version (2), header length (2), header; the data begin on a multiple of 64, a newline before them.
  const padded = `${dictionary.padEnd(Math.ceil((10 + dictionary.length + 1) / 64) * 64 - 11)}\n`
  const head = Buffer.alloc(10)
  head.write('\x93NUMPY\x01\x00', 'latin1')
  head.writeUInt16LE(padded.length, 8)
  const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (endianness() === 'BE') body.swap32()
  return [head, Buffer.from(padded, 'latin1'), body]
}
