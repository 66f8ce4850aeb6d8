// The launcher and the deployment run the same Worker: what they tell workerd must not drift apart.
import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import {
  compatibility,
  expectation,
  gatewaySettings,
  isLoopback,
} from '../../native-node/cli/gateway-process.ts'
import { root } from './run.ts'

const wrangler = readFileSync(`${root}wrangler.toml`, 'utf8')

describe('compatibility', () => {
  it('is the one of wrangler.toml', () => {
    expect(/^compatibility_date = "([^"]+)"/m.exec(wrangler)?.[1]).toBe(compatibility.date)
    const flags = /^compatibility_flags = \[([\s\S]*?)^\]/m.exec(wrangler)?.[1] ?? ''
    const names = [...flags.replace(/#.*/g, '').matchAll(/"([^"]+)"/g)].map(([, name]) => name)
    expect(names).toEqual(compatibility.flags)
  })
})

describe('settings', () => {
  beforeEach(() => {
    vi.stubEnv('SWITCHYARD_KEYS', '')
    vi.stubEnv('SWITCHYARD_CONFIG_FILE', '')
    return () => vi.unstubAllEnvs()
  })

  it('only loopback is open without keys', () => {
    expect(['127.0.0.1', '127.1.2.3', '::1', 'localhost'].every(isLoopback)).toBe(true)
    expect(
      ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.com', 'localhost.example'].some(isLoopback),
    ).toBe(false)
    expect(gatewaySettings('127.0.0.1').bindings.SWITCHYARD_OPEN).toBe('loopback')
    expect(() => gatewaySettings('0.0.0.0')).toThrow('SWITCHYARD_KEYS')
  })

  it('nodes are named in /health for this machine alone', () => {
    expect(['127.0.0.1', '::1'].map(expectation)).toEqual(['1', '1'])
    expect(['0.0.0.0', '::', '10.0.0.1'].map(expectation)).toEqual(Array(3).fill('unnamed'))
  })

  it('a key or token stands for one tenant, and a tenant once in its table', () => {
    vi.stubEnv('SWITCHYARD_KEYS', '{"acme":["sy_a","sy_both"],"globex":"sy_both"}')
    expect(() => gatewaySettings('127.0.0.1')).toThrow("'acme' and 'globex' the same key")
    vi.stubEnv('SWITCHYARD_KEYS', '{"acme":"sy_a","acme":"sy_b"}')
    expect(() => gatewaySettings('127.0.0.1')).toThrow('each once')
    vi.stubEnv('SWITCHYARD_KEYS', '{"acme":["sy_a","sy_a"],"globex":"sy_b"}')
    vi.stubEnv('SWITCHYARD_NODE_TOKEN', '{"acme":"t","globex":"t"}')
    expect(() => gatewaySettings('127.0.0.1')).toThrow('SWITCHYARD_NODE_TOKEN')
    vi.stubEnv('SWITCHYARD_NODE_TOKEN', '{"acme":"t","globex":"u"}')
    expect(gatewaySettings('127.0.0.1').nodeTenant).toBe('acme')
  })
})
