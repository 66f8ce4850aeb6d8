// `npm test`: bootstrap, format + lint + types, native tests on every instruction set of this CPU, vitest.
// The last line is the sum: "N passed, N failed".
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { bootstrap, buildDir, buildNative, root, SetupError } from './bootstrap.mjs'
import { checks } from './check.mjs'

const total = { passed: 0, failed: 0 }

function step(name, command, args, env = {}) {
  process.stderr.write(`\n── ${name}\n`)
  const started = Date.now()
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  process.stderr.write(
    `   ${result.status === 0 ? 'ok' : `failed (${result.status ?? result.signal})`}, ${((Date.now() - started) / 1000).toFixed(1)} s\n`,
  )
  return result.status === 0
}

function count(ok) {
  if (ok) total.passed += 1
  else total.failed += 1
  return ok
}

try {
  const runtime = await bootstrap()
  // Everything below runs on the pinned Node, also what the tests start themselves.
  const path = [dirname(runtime), join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  const env = { PATH: path }

  for (const { name, command, words } of checks) count(step(name, command, words, env))

  const nativeDir = join(buildDir, 'native-tests')
  buildNative(
    nativeDir,
    ['-DSWITCHYARD_TESTS=ON', '-DSWITCHYARD_ADDON=OFF'],
    'building the native tests',
    ['test/native'],
  )
  const ranks = join(root, 'node_modules/gpt-tokenizer/data/o200k_base.tiktoken')
  const fixtures = join(root, 'test/fixtures')
  for (const name of readdirSync(nativeDir)
    .filter((file) => file.endsWith('_test'))
    .sort()) {
    // What a test reads; one that takes numbers, for longer runs by hand, gets nothing.
    const words = {
      tokenizer_test: [ranks, join(fixtures, 'golden/tokenizer.json')],
      tokenizer_load_test: [fixtures],
    }
    const runs =
      name === 'ops_test'
        ? ['scalar', 'avx2', 'avx512', 'neon'].map((isa) => [isa])
        : [words[name] ?? []]
    for (const run of runs) {
      const label = name === 'ops_test' ? `native ${name} ${run[0]}` : `native ${name}`
      count(step(label, join(nativeDir, name), run, env))
    }
  }

  const report = join(buildDir, 'vitest.json')
  const ok = step(
    'vitest',
    'vitest',
    ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    env,
  )
  const summary = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined
  total.passed += summary?.numPassedTests ?? 0
  total.failed += summary?.numFailedTests ?? 0
  if (!ok && !summary?.numFailedTests) total.failed += 1
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`switchyard: ${error.message}\n`)
  process.exit(1)
}

process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)
