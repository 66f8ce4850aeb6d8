// `switchyard bench`: the engine's speed beside what the machine's memory allows.
import { cpus, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { loadAddon, type NativeBenchCase, type NativeBenchReport } from '../server/binding.ts'
import { findModel } from '../server/find-model.ts'
import { type Command, type Invocation, parseInteger, print, UsageError } from './command.ts'
import { engineOptions, readEngineOptions } from './engine-options.ts'
import { progressLine } from './progress.ts'
import { draftedTokens, speculate } from './speculate.ts'
import { weightsCacheFolder } from './weights-cache.ts'

export const bench: Command = {
  name: 'bench',
  summary:
    'Measures prefill and decode of a model, medians, beside a plain read of the same weights in the same process.',
  usage:
    '--model PATH [--prompt 512] [--gen 64] [--depth 0] [--batch 1,4,8] [--threads N] [--mode MODE] [--json]',
  details:
    'ppN: prefill of N tokens; tgN: generation of N tokens after --depth tokens. gb/s = bytes read per token (weights of the\n' +
    'experts really chosen, KV, head) x tokens/s; stream = a read of the same weights, interleaved; ratio = gb/s over stream.\n' +
    'tgN+K (--speculate ngram:K): the same while every step verifies K guessed tokens, all wrong: what speculation costs at worst.\n' +
    'It pays where a step brings more tokens than tokens/s of tgN over tgN+K.',
  options: {
    model: {
      type: 'string',
      value: 'PATH',
      help: 'checkpoint folder or GGUF file',
      required: true,
    },
    prompt: {
      type: 'string',
      value: 'N',
      help: 'tokens of the prefill test (0: none)',
      default: '512',
    },
    gen: {
      type: 'string',
      value: 'N',
      help: 'tokens of the generation test (0: none)',
      default: '64',
    },
    depth: {
      type: 'string',
      value: 'N',
      help: 'tokens in the context before generation',
      default: '0',
    },
    batch: { type: 'string', value: 'LIST', help: 'sequences that run together', default: '1' },
    ...engineOptions,
    speculate,
    repetitions: { type: 'string', value: 'N', help: 'repetitions of each test', default: '5' },
    json: { type: 'boolean', help: 'print the report as JSON' },
  },
  async run(invocation) {
    const options = {
      ...readEngineOptions(invocation),
      cases: casesOf(invocation),
      repetitions: invocation.integer('repetitions', 5, { min: 1, max: 1000 }),
    }
    const cache = weightsCacheFolder(invocation.text('weights-cache'))
    const model = await findModel(resolve(invocation.text('model') ?? ''))
    const progress = progressLine('measuring')
    const report = await loadAddon().bench(
      { modelPath: model.path, ...options, ...cache(model) },
      (fraction) => progress.update(fraction),
    )
    progress.done()
    const result = toJson(report, model.path)
    await print(invocation.flag('json') ? `${JSON.stringify(result, null, 2)}\n` : table(result))
    return 0
  },
}

function casesOf(invocation: Invocation): NativeBenchCase[] {
  const prompt = invocation.integer('prompt', 512, { max: 131_072 })
  const gen = invocation.integer('gen', 64, { max: 131_072 })
  const depth = invocation.integer('depth', 0, { max: 131_072 })
  const drafted = draftedTokens(invocation.text('speculate'))
  if (prompt + gen === 0) throw new UsageError('--prompt or --gen must be above 0.')
  return (invocation.text('batch') ?? '1')
    .split(',')
    .map((word) => parseInteger(word, '--batch', 1, 256))
    .flatMap((batch) => [
      ...(prompt > 0 ? [{ prefill: true, tokens: prompt, batch, depth }] : []),
      ...(gen > 0 ? [{ tokens: gen, batch, depth }] : []),
      ...(gen > 0 && drafted > 0 ? [{ tokens: gen, batch, depth, drafted }] : []),
    ])
}

function toJson(report: NativeBenchReport, path: string) {
  const { info } = report
  const [cpu] = cpus()
  return {
    machine: {
      cpu: cpu?.model ?? 'unknown',
      cores: cpus().length,
      memory_bytes: totalmem(),
      isa: info.isa,
      threads: info.threads,
    },
    model: {
      path,
      num_hidden_layers: info.numHiddenLayers,
      hidden_size: info.hiddenSize,
      num_experts: info.numExperts,
      experts_per_token: info.expertsPerToken,
      vocab_size: info.vocabSize,
    },
    runs: report.runs.map((run) => ({
      test: run.test,
      batch: run.batch,
      depth: run.depth,
      drafted: run.drafted,
      threads: run.threads,
      mode: run.mode,
      head: run.head,
      dense: report.info.dense,
      tokens_per_s: run.tokensPerSecond,
      bytes_per_token: run.bytesPerToken,
      gb_per_s: run.gbPerSecond,
      stream_gb_per_s: run.streamGbPerSecond,
      ratio: run.ratio,
    })),
    load_s: report.loadSeconds,
    weights_cache: info.weightsCache,
    best_gb_per_s: report.bestGbPerSecond,
    rss_bytes: report.rssBytes,
    weight_bytes: report.weightBytes,
    head_bytes: info.headBytes,
  }
}

type BenchJson = ReturnType<typeof toJson>

function table({ machine, model, runs, ...rest }: BenchJson): string {
  const head = [
    'test',
    'batch',
    'depth',
    'mode',
    'dense',
    'head',
    'tokens/s',
    'MB/token',
    'GB/s',
    'stream',
    'ratio',
  ]
  const rows = runs.map((run) => [
    run.drafted > 0 ? `${run.test}+${run.drafted}` : run.test,
    String(run.batch),
    String(run.depth),
    run.mode,
    run.dense,
    run.head,
    run.tokens_per_s.toFixed(1),
    (run.bytes_per_token / 1e6).toFixed(1),
    run.gb_per_s.toFixed(1),
    run.stream_gb_per_s.toFixed(1),
    run.ratio.toFixed(3),
  ])
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: string[]) =>
    row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, ${machine.threads} threads`,
    `${model.path}: ${model.num_hidden_layers} layers, hidden ${model.hidden_size}, ${model.num_experts} experts, ${(rest.weight_bytes / 1e9).toFixed(2)} GB`,
    `load ${rest.load_s.toFixed(2)} s${rest.weights_cache && ` (packed weights: ${rest.weights_cache})`}, peak RSS ${(rest.rss_bytes / 1e9).toFixed(2)} GB, of it ${(rest.head_bytes / 1e9).toFixed(2)} GB for screening the head; best read of huge pages ${rest.best_gb_per_s.toFixed(1)} GB/s`,
    '',
    line(head),
    ...rows.map(line),
    '',
  ].join('\n')
}
