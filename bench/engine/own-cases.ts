// One process that measures our engine alone: prints the report of the addon's bench. A process of its own, so that its
// memory is counted without others' and given back afterwards.
//   own-cases.ts '{NativeBenchOptions}'
import { z } from 'zod'
import { loadAddon } from '../../native-node/server/binding.ts'

const benchCase = z.object({
  prefill: z.boolean().default(false),
  tokens: z.number(),
  batch: z.number().default(1),
  depth: z.number().default(0),
  drafted: z.number().default(0),
  exactHead: z.boolean().default(false),
  busyNeighbour: z.boolean().default(false),
})
const options = z
  .object({
    modelPath: z.string(),
    mode: z.enum(['fast', 'bf16']),
    head: z.enum(['screened', 'exact']),
    dense: z.enum(['bf16', 'int8']).default('bf16'),
    threads: z.number(),
    weightsCache: z.string().default(''),
    cases: z.array(benchCase),
    repetitions: z.number(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))

process.stdout.write(`${JSON.stringify(await loadAddon().bench(options))}\n`)
