// A checkpoint of gpt-oss as GGUF, for llama.cpp: the same weights, bit for bit. bf16 matrices stay bf16, vectors and the
// router become f32, gate and up are two tensors, and an MXFP4 block carries its scale and another order of nibbles.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { closeSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { type Checkpoint, openCheckpoint, type Tensor } from './safetensors.ts'

const kinds = { f32: 0, bf16: 30, mxfp4: 39 } as const
const alignment = 32
const pieceBytes = 16 * 1024 * 1024

const configSchema = z.object({
  num_hidden_layers: z.number(),
  hidden_size: z.number(),
  intermediate_size: z.number(),
  num_attention_heads: z.number(),
  num_key_value_heads: z.number(),
  head_dim: z.number(),
  num_local_experts: z.number(),
  num_experts_per_tok: z.number(),
  sliding_window: z.number(),
  rms_norm_eps: z.number(),
  rope_theta: z.number(),
  max_position_embeddings: z.number(),
  vocab_size: z.number(),
  rope_scaling: z.object({ factor: z.number(), original_max_position_embeddings: z.number() }),
})
type Config = z.infer<typeof configSchema>

const tokenizerSchema = z.object({
  added_tokens: z.array(z.object({ id: z.number(), content: z.string() })),
  model: z.object({
    vocab: z.record(z.string(), z.number()),
    merges: z.array(z.tuple([z.string(), z.string()])),
  }),
})

interface Planned {
  name: string
  /** Fastest first, as ggml has them. */
  dimensions: number[]
  kind: keyof typeof kinds
  bytes: number
  pieces: () => Iterable<Uint8Array>
}

/** Writes `out` from the checkpoint in `folder`; the file appears when it is whole. */
export function writeGguf(folder: string, out: string): void {
  const config = configSchema.parse(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')))
  const checkpoint = openCheckpoint(folder)
  const tensors = planTensors(checkpoint, config)
  const partial = `${out}.part`
  const file = openSync(partial, 'w')
  try {
    let written = writeAll(file, header(tensors, metadata(folder, config)))
    for (const tensor of tensors) {
      written += writeAll(file, Buffer.alloc(padding(written)))
      let bytes = 0
      for (const piece of tensor.pieces()) bytes += writeAll(file, piece)
      if (bytes !== tensor.bytes)
        throw new Error(`${tensor.name}: ${bytes} of ${tensor.bytes} bytes`)
      written += bytes
    }
    writeAll(file, Buffer.alloc(padding(written)))
  } finally {
    closeSync(file)
    checkpoint.close()
  }
  renameSync(partial, out)
}

function planTensors(checkpoint: Checkpoint, config: Config): Planned[] {
  const list: Planned[] = []
  const hidden = config.hidden_size
  const inner = config.intermediate_size
  const experts = config.num_local_experts
  const matrix = (name: string, source: string) => {
    const tensor = checkpoint.tensor(source)
    list.push({
      name,
      dimensions: [...tensor.shape].reverse(),
      kind: 'bf16',
      bytes: tensor.bytes,
      pieces: () => raw(tensor),
    })
  }
  const floats = (name: string, source: string, half?: 0 | 1) => {
    const tensor = checkpoint.tensor(source)
    const dimensions = [...tensor.shape].reverse()
    if (half !== undefined) dimensions[0] = (dimensions[0] ?? 0) / 2
    const bytes = 4 * dimensions.reduce((product, n) => product * n, 1)
    list.push({ name, dimensions, kind: 'f32', bytes, pieces: () => widened(tensor, half) })
  }
  const expert = (name: string, source: string, rows: number, n: number, half?: 0 | 1) => {
    const blocks = checkpoint.tensor(`${source}_blocks`)
    const scales = checkpoint.tensor(`${source}_scales`)
    const bytes = ((experts * rows * n) / 32) * 17
    const pieces = () => mxfp4Rows(blocks, scales, n / 32, half)
    list.push({ name, dimensions: [n, rows, experts], kind: 'mxfp4', bytes, pieces })
  }
  matrix('token_embd.weight', 'model.embed_tokens.weight')
  matrix('output.weight', 'lm_head.weight')
  floats('output_norm.weight', 'model.norm.weight')
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const to = `blk.${layer}`
    const from = `model.layers.${layer}`
    floats(`${to}.attn_norm.weight`, `${from}.input_layernorm.weight`)
    floats(`${to}.post_attention_norm.weight`, `${from}.post_attention_layernorm.weight`)
    for (const [part, name] of Object.entries({
      q: 'attn_q',
      k: 'attn_k',
      v: 'attn_v',
      o: 'attn_output',
    })) {
      matrix(`${to}.${name}.weight`, `${from}.self_attn.${part}_proj.weight`)
      floats(`${to}.${name}.bias`, `${from}.self_attn.${part}_proj.bias`)
    }
    floats(`${to}.attn_sinks.weight`, `${from}.self_attn.sinks`)
    floats(`${to}.ffn_gate_inp.weight`, `${from}.mlp.router.weight`)
    floats(`${to}.ffn_gate_inp.bias`, `${from}.mlp.router.bias`)
    const gateUp = `${from}.mlp.experts.gate_up_proj`
    expert(`${to}.ffn_gate_exps.weight`, gateUp, inner, hidden, 0)
    expert(`${to}.ffn_up_exps.weight`, gateUp, inner, hidden, 1)
    expert(`${to}.ffn_down_exps.weight`, `${from}.mlp.experts.down_proj`, hidden, inner)
    floats(`${to}.ffn_gate_exps.bias`, `${gateUp}_bias`, 0)
    floats(`${to}.ffn_up_exps.bias`, `${gateUp}_bias`, 1)
    floats(`${to}.ffn_down_exps.bias`, `${from}.mlp.experts.down_proj_bias`)
  }
  return list
}

function* raw(tensor: Tensor): Generator<Uint8Array> {
  for (let at = 0; at < tensor.bytes; at += pieceBytes)
    yield tensor.read(at, Math.min(pieceBytes, tensor.bytes - at))
}

/** bf16 as f32; `half` takes every second element, beginning with that one. */
function* widened(tensor: Tensor, half?: 0 | 1): Generator<Uint8Array> {
  if (tensor.dtype !== 'BF16') throw new Error(`expected BF16, found ${tensor.dtype}`)
  const step = half === undefined ? 1 : 2
  for (const piece of raw(tensor)) {
    const values = new Uint32Array(piece.length / 2 / step)
    for (let i = 0; i < values.length; i++) {
      const at = 2 * (i * step + (half ?? 0))
      values[i] = (((piece[at] ?? 0) | ((piece[at + 1] ?? 0) << 8)) << 16) >>> 0
    }
    yield new Uint8Array(values.buffer)
  }
}

/** Rows of MXFP4 blocks, all or every second one, in ggml's form. */
function* mxfp4Rows(
  blocks: Tensor,
  scales: Tensor,
  rowBlocks: number,
  half?: 0 | 1,
): Generator<Uint8Array> {
  const step = half === undefined ? 1 : 2
  const rows = scales.bytes / rowBlocks
  const group = step * Math.max(1, Math.floor(pieceBytes / (16 * rowBlocks * step)))
  for (let row = 0; row < rows; row += group) {
    const count = Math.min(group, rows - row)
    const from = blocks.read(row * rowBlocks * 16, count * rowBlocks * 16)
    const scale = scales.read(row * rowBlocks, count * rowBlocks)
    const to = new Uint8Array((count / step) * rowBlocks * 17)
    let at = 0
    for (let r = half ?? 0; r < count; r += step) {
      for (let block = r * rowBlocks; block < (r + 1) * rowBlocks; block++) {
        packBlock(from, block * 16, scale[block] ?? 0, to, at)
        at += 17
      }
    }
    yield to
  }
}

/**
 * One block: 16 bytes of elements 2b and 2b + 1 become the scale and 16 bytes of elements j and j + 16, the first of a pair in
 * the low nibble.
 */
export function packBlock(
  from: Uint8Array,
  start: number,
  scale: number,
  to: Uint8Array,
  at: number,
): void {
  to[at] = scale
  for (let m = 0; m < 8; m++) {
    const first = from[start + m] ?? 0
    const second = from[start + 8 + m] ?? 0
    to[at + 1 + 2 * m] = (first & 15) | ((second & 15) << 4)
    to[at + 2 + 2 * m] = (first >> 4) | (second & 0xf0)
  }
}

// ---- the header ----------------------------------------------------------------------------------------------------

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const text = (value: string) => {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}
const entry = (key: string, type: number, value: Buffer) =>
  Buffer.concat([text(key), u32(type), value])
const uint = (key: string, value: number) => entry(key, 4, u32(value))
const float = (key: string, value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return entry(key, 6, bytes)
}
const string = (key: string, value: string) => entry(key, 8, text(value))
const strings = (key: string, values: string[]) =>
  entry(key, 9, Buffer.concat([u32(8), u64(values.length), ...values.map(text)]))
const ints = (key: string, values: Int32Array) =>
  entry(key, 9, Buffer.concat([u32(5), u64(values.length), new Uint8Array(values.buffer)]))

function metadata(folder: string, config: Config): Buffer[] {
  const at = (key: string) => `gpt-oss.${key}`
  return [
    string('general.architecture', 'gpt-oss'),
    string('general.name', 'switchyard bench'),
    uint('general.file_type', 38),
    uint('general.quantization_version', 2),
    uint(at('block_count'), config.num_hidden_layers),
    uint(at('context_length'), config.max_position_embeddings),
    uint(at('embedding_length'), config.hidden_size),
    uint(at('feed_forward_length'), config.intermediate_size),
    uint(at('expert_feed_forward_length'), config.intermediate_size),
    uint(at('attention.head_count'), config.num_attention_heads),
    uint(at('attention.head_count_kv'), config.num_key_value_heads),
    uint(at('attention.key_length'), config.head_dim),
    uint(at('attention.value_length'), config.head_dim),
    uint(at('attention.sliding_window'), config.sliding_window),
    float(at('attention.layer_norm_rms_epsilon'), config.rms_norm_eps),
    uint(at('expert_count'), config.num_local_experts),
    uint(at('expert_used_count'), config.num_experts_per_tok),
    uint(at('rope.dimension_count'), config.head_dim),
    float(at('rope.freq_base'), config.rope_theta),
    string(at('rope.scaling.type'), 'yarn'),
    float(at('rope.scaling.factor'), config.rope_scaling.factor),
    uint(
      at('rope.scaling.original_context_length'),
      config.rope_scaling.original_max_position_embeddings,
    ),
    uint(at('vocab_size'), config.vocab_size),
    ...vocabulary(folder, config.vocab_size),
  ]
}

function vocabulary(folder: string, size: number): Buffer[] {
  const file = readFileSync(join(folder, 'tokenizer.json'), 'utf8')
  const { added_tokens: added, model } = tokenizerSchema.parse(JSON.parse(file))
  const normal = 1
  const control = 3
  const tokens = Array.from({ length: size }, (_, id) => `<|reserved_${id}|>`)
  const types = new Int32Array(size).fill(control)
  for (const [token, id] of Object.entries(model.vocab)) {
    tokens[id] = token
    types[id] = normal
  }
  for (const { id, content } of added) {
    tokens[id] = content
    types[id] = control
  }
  const named = (content: string) => added.find((token) => token.content === content)?.id ?? 0
  return [
    string('tokenizer.ggml.model', 'gpt2'),
    string('tokenizer.ggml.pre', 'gpt-4o'),
    strings('tokenizer.ggml.tokens', tokens),
    ints('tokenizer.ggml.token_type', types),
    strings(
      'tokenizer.ggml.merges',
      model.merges.map(([left, right]) => `${left} ${right}`),
    ),
    uint('tokenizer.ggml.bos_token_id', named('<|startoftext|>')),
    uint('tokenizer.ggml.eos_token_id', named('<|return|>')),
    uint('tokenizer.ggml.padding_token_id', named('<|endoftext|>')),
  ]
}

function header(tensors: Planned[], keys: Buffer[]): Buffer {
  let offset = 0
  const infos = tensors.map(({ name, dimensions, kind, bytes }) => {
    const info = Buffer.concat([
      text(name),
      u32(dimensions.length),
      ...dimensions.map(u64),
      u32(kinds[kind]),
      u64(offset),
    ])
    offset += bytes + padding(bytes)
    return info
  })
  const magic = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(keys.length)]
  const whole = Buffer.concat([...magic, ...keys, ...infos])
  return Buffer.concat([whole, Buffer.alloc(padding(whole.length))])
}

const padding = (bytes: number) => (alignment - (bytes % alignment)) % alignment

/** One write may take less than it was given. */
function writeAll(file: number, bytes: Uint8Array): number {
  for (let at = 0; at < bytes.byteLength; ) at += writeSync(file, bytes, at)
  return bytes.byteLength
}
