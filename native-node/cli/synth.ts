// `switchyard synth`: a random checkpoint of true gpt-oss shapes in the HF layout, for speed and scale without a download.
// Values are drawn so that a forward pass stays finite; the text that it makes is noise.
import { closeSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../server/make-folder.ts'
import { type Command, CommandError, parseInteger, print, UsageError } from './command.ts'
import { progressLine } from './progress.ts'
import { fillRandom, type Pools, randomPools } from './synth-random.ts'
import { writeTokenizer } from './synth-tokenizer.ts'

/** Shape of a gpt-oss model, in the words of config.json. */
export interface Shape {
  hidden: number
  intermediate: number
  layers: number
  experts: number
  expertsPerToken: number
  heads: number
  kvHeads: number
  headDim: number
  vocabulary: number
}

const published: Record<string, Shape> = {
  '20b': {
    hidden: 2880,
    intermediate: 2880,
    layers: 24,
    experts: 32,
    expertsPerToken: 4,
    heads: 64,
    kvHeads: 8,
    headDim: 64,
    vocabulary: 201_088,
  },
  '120b': {
    hidden: 2880,
    intermediate: 2880,
    layers: 36,
    experts: 128,
    expertsPerToken: 4,
    heads: 64,
    kvHeads: 8,
    headDim: 64,
    vocabulary: 201_088,
  },
}

const shardLimit = 4_800_000_000
/** 256 bytes and the named control tokens: the least that a vocabulary needs. */
const minimalVocabulary = 272

export const synth: Command = {
  name: 'synth',
  summary:
    'Writes a random checkpoint of a given shape (HF layout, MXFP4 experts, tokenizer), as fast as the disk allows.',
  usage: '--shape 20b|120b|H,I,L,E,k,heads,kv,hd,vocab --out DIR [--layers N] [--seed N]',
  options: {
    shape: {
      type: 'string',
      value: 'SHAPE',
      help: '20b, 120b, or nine numbers: hidden, intermediate, layers, experts, experts per token, heads, kv heads, head dim, vocabulary',
      required: true,
    },
    layers: { type: 'string', value: 'N', help: "layers, instead of the shape's" },
    out: { type: 'string', value: 'DIR', help: 'folder to write', required: true },
    seed: { type: 'string', value: 'N', help: 'the same seed gives the same file', default: '1' },
    json: { type: 'boolean', help: 'print {out, bytes, seconds}' },
  },
  async run(invocation) {
    const shape = parseShape(invocation.text('shape') ?? '')
    shape.layers = invocation.integer('layers', shape.layers, { min: 1, max: 1000 })
    const out = invocation.text('out') ?? ''
    const started = performance.now()
    open(out)
    refuseModel(out)
    const pools = randomPools(invocation.integer('seed', 1))
    const progress = progressLine(`writing ${out}`)
    const bytes = writeWeights(out, shape, pools, (fraction) => progress.update(fraction))
    writeConfig(out, shape)
    writeTokenizer(out, shape.vocabulary)
    progress.done()
    const seconds = (performance.now() - started) / 1000
    await print(
      invocation.flag('json')
        ? `${JSON.stringify({ out, bytes, seconds })}\n`
        : `${out}: ${(bytes / 1e9).toFixed(2)} GB in ${seconds.toFixed(1)} s\n`,
    )
    return 0
  },
}

function open(out: string): void {
  try {
    makeFolder(out)
  } catch (error) {
    throw new CommandError(`--out: ${error instanceof Error ? error.message : error}`)
  }
}

/** Random weights over somebody's model could not be taken back. */
function refuseModel(out: string): void {
  const kept = readdirSync(out).find((name) => /^config\.json$|\.(safetensors|gguf)$/.test(name))
  if (kept === undefined) return
  throw new CommandError(
    `--out: ${out} holds a model already (${kept}). Name another folder, or remove what is in it.`,
  )
}

/** Throws UsageError naming the number that does not fit. */
export function parseShape(text: string): Shape {
  const known = Object.hasOwn(published, text) ? published[text] : undefined
  if (known) return { ...known }
  const words = text.split(',')
  if (words.length !== 9)
    throw new UsageError(`--shape is 20b, 120b or nine numbers, not '${text}'.`)
  const names = [
    'hidden',
    'intermediate',
    'layers',
    'experts',
    'experts per token',
    'heads',
    'kv heads',
    'head dim',
    'vocabulary',
  ]
  const numbers = words.map((word, place) =>
    parseInteger(word, `--shape (${names[place]})`, 1, 2 ** 24),
  )
  const [
    hidden = 0,
    intermediate = 0,
    layers = 0,
    experts = 0,
    expertsPerToken = 0,
    heads = 0,
    kvHeads = 0,
    headDim = 0,
    vocabulary = 0,
  ] = numbers
  if (hidden % 32 || intermediate % 32)
    throw new UsageError(
      '--shape: hidden and intermediate must be multiples of 32 (one MXFP4 block).',
    )
  if (headDim % 2) throw new UsageError('--shape: head dim must be even (rotary pairs).')
  if (heads % kvHeads) throw new UsageError('--shape: heads must be a multiple of kv heads.')
  if (expertsPerToken > experts) throw new UsageError('--shape: experts per token exceeds experts.')
  if (vocabulary < minimalVocabulary)
    throw new UsageError(
      `--shape: the vocabulary needs at least ${minimalVocabulary} ids (256 bytes and the control tokens).`,
    )
  return {
    hidden,
    intermediate,
    layers,
    experts,
    expertsPerToken,
    heads,
    kvHeads,
    headDim,
    vocabulary,
  }
}

interface Tensor {
  name: string
  dtype: 'BF16' | 'U8'
  shape: number[]
  bytes: number
  fill: keyof Pools
}

/** Every tensor in file order; names and shapes as in openai/gpt-oss-20b. */
function tensorsOf({
  hidden: h,
  intermediate: i,
  layers,
  experts: e,
  heads,
  kvHeads,
  headDim,
  vocabulary,
}: Shape): Tensor[] {
  const list: Tensor[] = []
  const add = (name: string, shape: number[], fill: keyof Pools) => {
    const size = fill === 'weights' || fill === 'ones' ? 2 : 1
    list.push({
      name,
      dtype: size === 2 ? 'BF16' : 'U8',
      shape,
      bytes: shape.reduce((product, n) => product * n, size),
      fill,
    })
  }
  add('model.embed_tokens.weight', [vocabulary, h], 'weights')
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`
    add(`${at}.input_layernorm.weight`, [h], 'ones')
    for (const [part, rows] of [
      ['q', heads],
      ['k', kvHeads],
      ['v', kvHeads],
    ] as const) {
      add(`${at}.self_attn.${part}_proj.weight`, [rows * headDim, h], 'weights')
      add(`${at}.self_attn.${part}_proj.bias`, [rows * headDim], 'weights')
    }
    add(`${at}.self_attn.o_proj.weight`, [h, heads * headDim], 'weights')
    add(`${at}.self_attn.o_proj.bias`, [h], 'weights')
    add(`${at}.self_attn.sinks`, [heads], 'weights')
    add(`${at}.post_attention_layernorm.weight`, [h], 'ones')
    add(`${at}.mlp.router.weight`, [e, h], 'weights')
    add(`${at}.mlp.router.bias`, [e], 'weights')
    add(`${at}.mlp.experts.gate_up_proj_blocks`, [e, 2 * i, h / 32, 16], 'nibbles')
    add(`${at}.mlp.experts.gate_up_proj_scales`, [e, 2 * i, h / 32], 'scales')
    add(`${at}.mlp.experts.gate_up_proj_bias`, [e, 2 * i], 'weights')
    add(`${at}.mlp.experts.down_proj_blocks`, [e, h, i / 32, 16], 'nibbles')
    add(`${at}.mlp.experts.down_proj_scales`, [e, h, i / 32], 'scales')
    add(`${at}.mlp.experts.down_proj_bias`, [e, h], 'weights')
  }
  add('model.norm.weight', [h], 'ones')
  add('lm_head.weight', [vocabulary, h], 'weights')
  return list
}

function writeWeights(
  out: string,
  shape: Shape,
  pools: Pools,
  onProgress: (fraction: number) => void,
): number {
  const tensors = tensorsOf(shape)
  const total = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)
  const shards: Tensor[][] = [[]]
  let size = 0
  for (const tensor of tensors) {
    if (size > 0 && size + tensor.bytes > shardLimit) {
      shards.push([])
      size = 0
    }
    shards.at(-1)?.push(tensor)
    size += tensor.bytes
  }
  const weightMap: Record<string, string> = {}
  let written = 0
  for (const [number, shard] of shards.entries()) {
    const file =
      shards.length === 1
        ? 'model.safetensors'
        : `model-${String(number + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`
    for (const tensor of shard) weightMap[tensor.name] = file
    writeShard(join(out, file), shard, pools, (bytes) => {
      written += bytes
      onProgress(written / total)
    })
  }
  if (shards.length > 1) {
    const index = { metadata: { total_size: total }, weight_map: weightMap }
    writeFileSync(join(out, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`)
  }
  return total
}

/** https://huggingface.co/docs/safetensors: u64 header length, JSON header, data. */
function writeShard(
  path: string,
  tensors: Tensor[],
  pools: Pools,
  onBytes: (bytes: number) => void,
) {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  let json = JSON.stringify(header)
  json += ' '.repeat((8 - (json.length % 8)) % 8)
  const head = Buffer.alloc(8 + json.length)
  head.writeBigUInt64LE(BigInt(json.length))
  head.write(json, 8, 'latin1')
  const file = openSync(path, 'w')
  try {
    writeAll(file, head)
    for (const tensor of tensors) {
      for (const piece of fillRandom(pools, tensor.fill, tensor.bytes)) {
        writeAll(file, piece)
        onBytes(piece.byteLength)
      }
    }
  } finally {
    closeSync(file)
  }
}

/** One write may take less than it was given (Linux stops at 2 GiB). */
function writeAll(file: number, bytes: Uint8Array) {
  for (let at = 0; at < bytes.byteLength; ) at += writeSync(file, bytes, at)
}

function writeConfig(out: string, shape: Shape) {
  const config = {
    architectures: ['GptOssForCausalLM'],
    attention_bias: true,
    eos_token_id: shape.vocabulary === 201_088 ? 200_002 : null,
    experts_per_token: shape.expertsPerToken,
    head_dim: shape.headDim,
    hidden_act: 'silu',
    hidden_size: shape.hidden,
    initial_context_length: 4096,
    intermediate_size: shape.intermediate,
    layer_types: Array.from({ length: shape.layers }, (_, layer) =>
      layer % 2 ? 'full_attention' : 'sliding_attention',
    ),
    max_position_embeddings: 131_072,
    model_type: 'gpt_oss',
    num_attention_heads: shape.heads,
    num_experts_per_tok: shape.expertsPerToken,
    num_hidden_layers: shape.layers,
    num_key_value_heads: shape.kvHeads,
    num_local_experts: shape.experts,
    quantization_config: {
      quant_method: 'mxfp4',
      modules_to_not_convert: [
        'model.layers.*.self_attn',
        'model.layers.*.mlp.router',
        'model.embed_tokens',
        'lm_head',
      ],
    },
    rms_norm_eps: 1e-5,
    rope_scaling: {
      beta_fast: 32,
      beta_slow: 1,
      factor: 32,
      original_max_position_embeddings: 4096,
      rope_type: 'yarn',
      truncate: false,
    },
    rope_theta: 150_000,
    sliding_window: 128,
    swiglu_limit: 7,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    vocab_size: shape.vocabulary,
  }
  if (config.eos_token_id === null) delete (config as { eos_token_id?: unknown }).eos_token_id
  writeFileSync(join(out, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
}
