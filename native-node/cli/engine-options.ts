// How the native engine is to compute: what all commands that load a model share.
import { type Invocation, type Option, parseChoice } from './command.ts'
import { weightsCache } from './weights-cache.ts'

export const modes = ['exact', 'bf16', 'fast'] as const
export const isas = ['auto', 'scalar', 'avx2', 'avx512', 'neon'] as const
const heads = ['auto', 'screened', 'exact'] as const
const denses = ['bf16', 'int8'] as const

export const engineOptions = {
  mode: { type: 'string', value: 'MODE', help: 'exact, bf16 or fast', default: 'fast' },
  head: {
    type: 'string',
    value: 'HOW',
    help: 'auto, screened (an int8 copy tells which rows can win) or exact; the tokens are the same',
    default: 'auto',
  },
  dense: {
    type: 'string',
    value: 'HOW',
    help: "bf16, or int8: attention's matrices in half of the memory, less exactly (mode fast)",
    default: 'bf16',
  },
  isa: {
    type: 'string',
    value: 'NAME',
    help: 'auto, scalar, avx2, avx512 or neon',
    default: 'auto',
  },
  threads: {
    type: 'string',
    value: 'N',
    help: 'engine threads (0: the cores of this process)',
    default: '0',
  },
  'weights-cache': weightsCache,
} as const satisfies Record<string, Option>

/** What they say, but for the weights' cache, which hangs on the model's place; throws UsageError. */
export function readEngineOptions(invocation: Invocation) {
  return {
    mode: parseChoice(invocation.text('mode') ?? 'fast', '--mode', modes),
    head: parseChoice(invocation.text('head') ?? 'auto', '--head', heads),
    dense: parseChoice(invocation.text('dense') ?? 'bf16', '--dense', denses),
    isa: parseChoice(invocation.text('isa') ?? 'auto', '--isa', isas),
    threads: invocation.integer('threads', 0, { max: 1024 }),
  }
}
