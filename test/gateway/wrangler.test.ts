// What is deployed, what the launcher starts and what these tests run are one and the same Worker.
import { readFileSync } from 'node:fs'
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
