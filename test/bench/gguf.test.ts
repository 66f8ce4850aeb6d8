// The benchmark's GGUF of the demo model, read back by a reader that knows nothing of the writer: every number is the
// checkpoint's.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { writeGguf } from '../../bench/engine/gguf.ts'
import { openCheckpoint } from '../../bench/engine/safetensors.ts'

const demo = fileURLToPath(new URL('../../models/demo', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'switchyard-gguf-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
writeGguf(demo, join(folder, 'demo.gguf'))
const file = readFileSync(join(folder, 'demo.gguf'))
const checkpoint = openCheckpoint(demo)

interface Found {
  dimensions: number[]
  type: number
  offset: number
}

/** Keys and tensors of the file; offsets are absolute. */
function parse() {
  let at = 8
  const skip = (bytes: number) => {
    at += bytes
    return at - bytes
  }
  const u32 = () => file.readUInt32LE(skip(4))
  const u64 = () => Number(file.readBigUInt64LE(skip(8)))
  const text = () => {
    const length = u64()
    return file.toString('utf8', at, skip(length) + length)
  }
  const value = (type: number): unknown => {
    if (type === 4) return u32()
    if (type === 5) return file.readInt32LE(skip(4))
    if (type === 6) return file.readFloatLE(skip(4))
    if (type === 8) return text()
    if (type !== 9) throw new Error(`type ${type} at ${at}`)
    const inner = u32()
    return Array.from({ length: u64() }, () => value(inner))
  }
  const tensorCount = u64()
  const keyCount = u64()
  const keys = new Map<string, unknown>()
  for (let i = 0; i < keyCount; i++) keys.set(text(), value(u32()))
  const tensors = new Map<string, Found>()
  for (let i = 0; i < tensorCount; i++) {
    const name = text()
    const dimensions = Array.from({ length: u32() }, u64)
    tensors.set(name, { dimensions, type: u32(), offset: u64() })
  }
  const start = Math.ceil(at / 32) * 32
  for (const tensor of tensors.values()) tensor.offset += start
  return { keys, tensors }
}

const { keys, tensors } = parse()
const fp4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]
const found = (name: string) => tensors.get(name) ?? expect.fail(`no tensor ${name}`)

/** Elements of a row of blocks of 32: ggml's 17 bytes, first half of the elements in the low nibbles. */
function ggmlRow(offset: number, blocks: number): number[] {
  return Array.from({ length: blocks }, (_, block) => {
    const at = offset + 17 * block
    const scale = 2 ** ((file[at] ?? 0) - 127)
    return Array.from({ length: 32 }, (_, j) => {
      const byte = file[at + 1 + (j % 16)] ?? 0
      return (fp4[j < 16 ? byte & 15 : byte >> 4] ?? 0) * scale
    })
  }).flat()
}

/** The same of a checkpoint: a low nibble and the high one after it. */
function checkpointRow(name: string, row: number, blocks: number): number[] {
  const bytes = checkpoint.tensor(`${name}_blocks`).read(row * blocks * 16, blocks * 16)
  const scales = checkpoint.tensor(`${name}_scales`).read(row * blocks, blocks)
  return Array.from({ length: blocks * 32 }, (_, i) => {
    const byte = bytes[i >> 1] ?? 0
    return (fp4[i % 2 ? byte >> 4 : byte & 15] ?? 0) * 2 ** ((scales[i >> 5] ?? 0) - 127)
  })
}

describe('the GGUF of a checkpoint', () => {
  it('says what model it is', () => {
    expect(file.toString('latin1', 0, 4)).toBe('GGUF')
    expect(file.readUInt32LE(4)).toBe(3)
    expect(keys.get('general.architecture')).toBe('gpt-oss')
    expect(keys.get('gpt-oss.block_count')).toBe(6)
    expect(keys.get('gpt-oss.expert_used_count')).toBe(2)
    const tokens = keys.get('tokenizer.ggml.tokens') as string[]
    expect(tokens).toHaveLength(2336)
    expect(new Set(tokens).size).toBe(2336)
    expect(tokens[2325]).toBe('<|startoftext|>')
    expect(keys.get('tokenizer.ggml.bos_token_id')).toBe(2325)
  })

  it('has every expert row, gate and up apart, in the other order of nibbles', () => {
    const rows = { gate: [0, 2], up: [1, 2], down: [0, 1] } as const
    for (const [part, [first, step]] of Object.entries(rows)) {
      const source = `model.layers.3.mlp.experts.${part === 'down' ? 'down' : 'gate_up'}_proj`
      const { dimensions, type, offset } = found(`blk.3.ffn_${part}_exps.weight`)
      const [n = 0, count = 0, experts = 0] = dimensions
      expect([type, experts]).toEqual([39, 4])
      for (let row = 0; row < count * experts; row++) {
        const place = Math.floor(row / count) * count * step + (row % count) * step + first
        expect(ggmlRow(offset + (row * n * 17) / 32, n / 32)).toEqual(
          checkpointRow(source, place, n / 32),
        )
      }
    }
  })

  it('keeps bf16 matrices as they are and widens vectors', () => {
    const matrix = found('blk.1.attn_output.weight')
    const source = checkpoint.tensor('model.layers.1.self_attn.o_proj.weight')
    expect([matrix.type, ...matrix.dimensions]).toEqual([30, 256, 192])
    expect(file.subarray(matrix.offset, matrix.offset + source.bytes)).toEqual(
      Buffer.from(source.read(0, source.bytes)),
    )
    const bias = found('blk.2.ffn_up_exps.bias')
    const biases = Buffer.from(
      checkpoint.tensor('model.layers.2.mlp.experts.gate_up_proj_bias').read(0, 4 * 256 * 2),
    )
    expect([bias.type, ...bias.dimensions]).toEqual([0, 128, 4])
    for (let i = 0; i < 4 * 128; i++)
      expect(file.readUInt32LE(bias.offset + 4 * i)).toBe(biases.readUInt16LE(4 * i + 2) * 65_536)
  })
})
