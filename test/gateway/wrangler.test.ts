// What is deployed, what the launcher starts and what these tests run are one and the same Worker.
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { compatibility } from '../../native-node/cli/gateway-process.ts'

const toml = readFileSync(new URL('../../wrangler.toml', import.meta.url), 'utf8').replace(
  /^\s*#.*$/gm,
  '',
)

it('is run locally with the compatibility that it is deployed with', () => {
  expect(/compatibility_date = "(.*)"/.exec(toml)?.[1]).toBe(compatibility.date)
  const flags = /compatibility_flags = \[([^\]]*)\]/.exec(toml)?.[1] ?? ''
  expect([...flags.matchAll(/"([^"]+)"/g)].map((match) => match[1])).toEqual(compatibility.flags)
})

it('never deploys the bindings that open the gateway', () => {
  expect(toml).not.toMatch(/SWITCHYARD_(OPEN|EXPECT_NODE)/)
})

it('passes a dry run of the deployment', async () => {
  const out = mkdtempSync(join(tmpdir(), 'switchyard-deploy-'))
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const wrangler = join(root, 'node_modules/wrangler/bin/wrangler.js')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [wrangler, 'deploy', '--dry-run', '--outdir', out],
    { cwd: root, env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: '1' } },
  )
  expect(stdout).toContain('env.NODE_HUB (NodeHub)')
  expect(readdirSync(out)).toContain('index.js')
  rmSync(out, { recursive: true })
})
