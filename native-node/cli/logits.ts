// `switchyard logits`: the forward pass laid open, for comparison with other implementations.
import { open } from 'node:fs/promises'
import { loadAddon } from '../server/binding.ts'
import { findModel } from '../server/find-model.ts'
import { type Command, parseChoice, parseInteger, print, UsageError } from './command.ts'
import { isas, modes } from './engine-options.ts'
import { npyFloat32 } from './npy.ts'

export const logits: Command = {
  name: 'logits',
  summary:
    'Runs token ids through a model and writes the logits of every position: float32 [T, vocab], .npy 1.0.',
  usage:
    '--model PATH --ids 1,2,3 --out FILE.npy [--mode exact|bf16|fast] [--isa NAME] [--prefill N]',
  details:
    'Of a folder it needs only config.json and the weights. With --json a line about the run goes to stdout.',
  options: {
    model: {
      type: 'string',
      value: 'PATH',
      help: 'checkpoint folder or GGUF file',
      required: true,
    },
    ids: {
      type: 'string',
      value: 'LIST',
      help: 'token ids, separated by commas or spaces',
      required: true,
    },
    out: { type: 'string', value: 'FILE', help: 'where the .npy goes', required: true },
    mode: { type: 'string', value: 'MODE', help: 'exact, bf16 or fast', default: 'exact' },
    isa: {
      type: 'string',
      value: 'NAME',
      help: 'auto, scalar, avx2, avx512 or neon',
      default: 'auto',
    },
    prefill: {
      type: 'string',
      value: 'N',
      help: 'ids fed at once, the rest one by one (0: all at once)',
      default: '0',
    },
    threads: {
      type: 'string',
      value: 'N',
      help: 'worker threads (0: the cores of this process)',
      default: '0',
    },
    json: { type: 'boolean', help: 'print {rows, columns, mode, isa, out}' },
  },
  async run(invocation) {
    const words = (invocation.text('ids') ?? '').split(/[\s,]+/).filter((word) => word !== '')
    if (words.length === 0) throw new UsageError('--ids holds no token id.')
    const ids = Int32Array.from(words, (word) => parseInteger(word, '--ids', 0, 2 ** 31 - 1))
    const mode = parseChoice(invocation.text('mode') ?? 'exact', '--mode', modes)
    const isa = parseChoice(invocation.text('isa') ?? 'auto', '--isa', isas)
    const out = invocation.text('out') ?? ''
    const prefill = invocation.integer('prefill', 0, { max: ids.length })
    const threads = invocation.integer('threads', 0, { max: 1024 })
    const model = await findModel(invocation.text('model') ?? '')
    const result = await loadAddon().logits(
      { modelPath: model.path, mode, isa, threads },
      ids,
      prefill,
    )
    const file = await open(out, 'w')
    try {
      for (const piece of npyFloat32(result.data, result.rows, result.columns))
        await file.writeFile(piece)
    } finally {
      await file.close()
    }
    if (invocation.flag('json'))
      await print(
        `${JSON.stringify({ rows: result.rows, columns: result.columns, mode, isa, out })}\n`,
      )
    return 0
  },
}
