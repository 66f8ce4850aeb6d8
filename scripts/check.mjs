// `npm run check`: format, lint and the types of every half. Also the first step of `npm test`.
import { spawnSync } from 'node:child_process'

/** What is checked, each with its command. */
export const checks = [
  { name: 'format and lint (biome)', command: 'biome', words: ['check', '.'] },
  ...['src', 'gateway', 'native-node', 'test', 'bench'].map((half) => ({
    name: `types of ${half}/ (tsc)`,
    command: 'tsc',
    words: ['-p', half],
  })),
]

if (process.argv[1]?.endsWith('check.mjs')) {
  let failed = 0
  for (const { name, command, words } of checks) {
    const { status } = spawnSync(command, words, { stdio: 'inherit' })
    process.stderr.write(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}\n`)
    if (status !== 0) failed += 1
  }
  process.exit(failed === 0 ? 0 : 1)
}
