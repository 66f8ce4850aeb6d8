// What is deployed, what the launcher starts and what these tests run are one and the same Worker.
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { compatibility } from '../../native-node/cli/gateway-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const written = readFileSync(join(root, 'wrangler.toml'), 'utf8')
const toml = written.replace(/^\s*#.*$/gm, '')

it('is run locally with the compatibility that it is deployed with', () => {
  expect(/compatibility_date = "(.*)"/.exec(toml)?.[1]).toBe(compatibility.date)
  const flags = /compatibility_flags = \[([^\]]*)\]/.exec(toml)?.[1] ?? ''
  expect([...flags.matchAll(/"([^"]+)"/g)].map((match) => match[1])).toEqual(compatibility.flags)
})

it('never deploys the bindings that open the gateway', () => {
  expect(toml).not.toMatch(/SWITCHYARD_(OPEN|EXPECT_NODE)/)
})

/** What is commented out of the bindings, as its reader would have it. */
function withDataset(): string {
  const on = written.replace(/^# (?=\[\[analytics_engine_datasets|binding = |dataset = )/gm, '')
  return on.replace('main = "', `main = "${root}`)
}

it.each([
  ['as it is', undefined, 'env.NODE_HUB (NodeHub)'],
  ['with Analytics Engine', withDataset(), 'env.ANALYTICS (switchyard_requests)'],
])('passes a dry run of the deployment %s', async (_, text, binding) => {
  const out = mkdtempSync(join(tmpdir(), 'switchyard-deploy-'))
  const config = join(out, 'wrangler.toml')
  if (text !== undefined) writeFileSync(config, text)
  const named = text === undefined ? [] : ['--config', config]
  const wrangler = join(root, 'node_modules/wrangler/bin/wrangler.js')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [wrangler, 'deploy', '--dry-run', '--outdir', out, ...named],
    { cwd: root, env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: '1' } },
  )
  expect(stdout).toContain(binding)
  expect(readdirSync(out)).toContain('index.js')
  rmSync(out, { recursive: true })
})
