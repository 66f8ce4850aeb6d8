// Runs the clients' tests and writes docs/clients.md from what passed: a row a feature (test/clients/features.ts, which names
// the tests), a column a client (the tests' groups). Opt-in clients run where CODEX and PYTHON name them.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { features } from '../test/clients/features.ts'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'switchyard-clients-'))
const file = join(folder, 'vitest.json')
const words = ['run', 'test/clients', '--reporter=default', '--reporter=json']
const vitest = join(root, 'node_modules/.bin/vitest')
spawnSync(vitest, [...words, `--outputFile.json=${file}`], { cwd: root, stdio: 'inherit' })
const report = JSON.parse(readFileSync(file, 'utf8'))
rmSync(folder, { recursive: true })

/** Client → feature → passed; what was skipped is not there. */
const clients = new Map()
let failed = 0
for (const { assertionResults } of report.testResults) {
  for (const { ancestorTitles, title, status } of assertionResults) {
    if (status !== 'passed' && status !== 'failed') continue
    if (!Object.values(features).includes(title)) throw new Error(`no row for '${title}'`)
    const client = ancestorTitles.at(-1)
    if (!clients.has(client)) clients.set(client, new Map())
    const passed = status === 'passed' && clients.get(client).get(title) !== false
    clients.get(client).set(title, passed)
    if (!passed) failed += 1
  }
}
const names = [...clients.keys()].sort((a, b) => order(a) - order(b) || a.localeCompare(b))

/** The SDKs first, then the programs that are opted in. */
function order(client) {
  const at = ['openai', '@openai', 'ai', '@anthropic', 'Python', 'Codex'].findIndex((start) =>
    client.startsWith(start),
  )
  return at === -1 ? Number.POSITIVE_INFINITY : at
}

const python = process.env.PYTHON
const pythonOpenai =
  python &&
  execFileSync(python, ['-c', 'import openai; print(openai.__version__)']).toString().trim()

/** `openai 7.57.0, Responses`: every package that a name holds, with its version. */
function versioned(client) {
  if (client.startsWith('Python')) return client.replace(',', ` ${pythonOpenai},`)
  return client.replace(/@[\w-]+\/[\w-]+|^(?:openai|ai)(?=,)/g, (name) => {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json')))
    return `${name} ${version}`
  })
}

const letter = (at) => String.fromCharCode(65 + at)
const cell = (client, feature) => {
  const passed = clients.get(client).get(feature)
  return passed === undefined ? ' ' : passed ? '✓' : '✗'
}
const rows = Object.values(features).map(
  (feature) => `| ${feature} | ${names.map((client) => cell(client, feature)).join(' | ')} |`,
)

writeFileSync(
  join(root, 'docs/clients.md'),
  `# Clients

What was driven against the gateway in workerd, behind the launcher's relay, with a scripted Chat provider as the model. The
table is written by \`npm run clients\`, of the tests in \`test/clients\`; all but the opt-in ones run in \`npm test\`, too.
✓ passed, ✗ failed; an empty cell is not tested, mostly because the client has no such feature.

${names.map((client, at) => `- **${letter(at)}** ${versioned(client)}`).join('\n')}

| | ${names.map((_, at) => letter(at)).join(' | ')} |
|---|${names.map(() => '---').join('|')}|
${rows.join('\n')}

Notes

- \`@ai-sdk/openai\` shows reasoning where a summary would be: send the header \`x-switchyard-reasoning-events: summary\`, as
  the test does. Its Chat model has no reasoning.
- Codex: \`wire_api = "responses"\`, and \`supports_websockets = true\` for the socket ([more](websocket.md)).
- Claude Code: \`test/gateway/claude-code.test.ts\`, opt-in, too.
- Opt-in: \`CODEX=fetch\` (or a path) and \`PYTHON=/path/to/python\` (one that can import \`openai\`) before the command.
`,
)
process.stderr.write(`docs/clients.md: ${names.length} clients, ${failed} failed\n`)
process.exit(failed === 0 && names.length > 0 ? 0 : 1)
