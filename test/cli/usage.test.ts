import { mkdtempSync, readdirSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { version } from '../../src/version.ts'
import { switchyard } from './run.ts'

const commands = [
  'up',
  'serve',
  'node',
  'tools',
  'chat',
  'bench',
  'explain',
  'logits',
  'tokenize',
  'render',
  'parse',
  'synth',
]

const joining = (...more: string[]) => ['node', '--gateway', 'http://127.0.0.1:1', ...more]

/** A port that somebody listens on. */
async function takenPort(): Promise<[port: number, free: () => void]> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return [port, () => server.close()]
}

describe('usage', () => {
  it('--version tells it', async () => {
    const { code, stdout } = await switchyard(['--version'])
    expect(code).toBe(0)
    expect(stdout.toString()).toBe(`switchyard ${version}\n`)
  })

  it('serve says before it loads a model that it could not listen', async () => {
    const [port, free] = await takenPort()
    const ran = await switchyard(['serve', '--model', '/nowhere', '--port', String(port)])
    free()
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(`127.0.0.1:${port} is already in use. Choose another one`)
    const open = await switchyard(['serve', '--model', '/nowhere', '--host', '0.0.0.0'])
    expect(open.code).toBe(1)
    expect(open.stderr).toContain('--key-env')
  })

  it.each([
    ['192.0.2.1', 'is no address of this machine (EADDRNOTAVAIL)'],
    ['nowhere.invalid', 'has no such host'],
  ])('says of an address that is not here what would be: %s', async (host, why) => {
    const words = ['up', '--port', '1', '--host', host]
    const ran = await switchyard(words, { env: { SWITCHYARD_KEYS: '{"acme":"sy_key"}' } })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(`${host}:1 ${why}`)
    expect(ran.stderr).toContain('Listen on an address of this machine')
    expect(ran.stderr).not.toContain('another port')
  })

  it.each([
    ['', '/v1/models'],
    ['/', '/v1/models'],
    ['/v1', '/v1/models'],
    ['/compatible/v4/', '/compatible/v4/models'],
  ])('chat takes the address with and without /v1: %j', async (path, asked) => {
    const seen: (string | undefined)[] = []
    const server = createHttpServer((request, response) => {
      seen.push(request.url)
      response.end('{"data":[]}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await switchyard(['chat', '--base', `http://127.0.0.1:${port}${path}`])
    server.close()
    expect(seen).toEqual([asked])
  })

  it.each([
    ['no model', []],
    ['a model that is not there', ['--model', '/nowhere']],
  ])('serve leaves nothing behind where it is asked for %s', async (_, words) => {
    const cwd = mkdtempSync(join(tmpdir(), 'switchyard-serve-'))
    const ran = await switchyard(['serve', '--port', '0', ...words], { cwd })
    expect(ran.code).not.toBe(0)
    expect(readdirSync(cwd)).toEqual([])
  })

  it('names the server that cannot be reached', async () => {
    const ran = await switchyard(['serve', '--upstream', 'http://127.0.0.1:1/v1', '--port', '0'])
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('--upstream http://127.0.0.1:1: ')
    expect(ran.stderr).toContain('ECONNREFUSED')
  })

  it.each(commands)('%s --help exits 0 and names its options on stdout', async (command) => {
    const { code, stdout } = await switchyard([command, '--help'])
    expect(code).toBe(0)
    expect(stdout.toString()).toContain(`Usage: switchyard ${command}`)
    expect(stdout.toString()).toContain('--help')
  })

  it.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['__proto__'], 'unknown command'],
    [['logits', '--bogus'], "'--bogus'"],
    [['chat', '--url', 'x'], "There is no option '--url'; there are --base, --model,"],
    [['chat', '-x'], "There is no option '-x'; "],
    [['logits', '--ids', '1', '--out', 'x.npy'], '--model is required'],
    [['logits', '--model', 'x', '--ids', '1,two', '--out', 'x.npy'], "'two'"],
    [
      ['logits', '--model', 'x', '--ids', '1', '--out', 'x.npy', '--mode', 'quick'],
      '--mode must be one of',
    ],
    [['serve', '--model', 'x', '--dense', 'int4'], '--dense must be one of'],
    [['serve', '--model', 'x', '--speculate', 'lookahead'], "not 'lookahead'"],
    [['bench', '--model', 'x', '--speculate', 'ngram:16'], '--speculate ngram:N'],
    [
      ['node', '--gateway', 'http://x', '--token', 't', '--model', 'x', '--speculate', 'ngram:'],
      "''",
    ],
    [
      ['serve', '--model', 'x', '--weights-cache', ''],
      '--weights-cache must be off, auto or a folder',
    ],
    [['up', '--weights-cache', ''], '--weights-cache must be off, auto or a folder'],
    [['synth', '--shape', '1,2,3', '--out', 'x'], 'nine numbers'],
    [['synth', '--shape', '65,96,3,8,2,4,2,32,320', '--out', 'x'], 'multiples of 32'],
    [['tokenize', '--model', 'o200k', 'surplus'], "'surplus'"],
    [['up', '--port', 'abc'], '--port must be'],
    [['serve', '--upstream', 'here'], "--upstream 'here' is not an http"],
    [['serve', '--model', 'x', '--slots', '0'], '--slots must be'],
    [['serve', '--upstream', 'http://x', '--mode', 'fast'], '--mode goes with --model.'],
    [['serve', '--upstream', 'http://x', '--context', '9'], '--context goes with --model.'],
    [['serve', '--model', 'x', '--allow-hosts', 'x'], '--allow-hosts goes with --upstream.'],
    [['chat', '--effort', 'huge'], '--effort must be one of'],
    [['chat', '--base', 'here'], "--base 'here' is not an http"],
    [['explain', 'x', '--base', 'here'], "--base 'here' is not an http"],
    [joining('--token', '{"acme":"token"}'), "gateway's table of tokens"],
    [joining('--token', 'token', '--name', 'my node'), "--name 'my node'"],
  ])('%j is wrong usage: exit 2, nothing on stdout', async (words, message) => {
    const { code, stdout, stderr } = await switchyard(words)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(stdout.length).toBe(0)
  })

  it('a model that is not there is a failure: exit 1 and its path', async () => {
    const { code, stderr } = await switchyard([
      'logits',
      '--model',
      '/nowhere/model',
      '--ids',
      '1',
      '--out',
      join(tmpdir(), 'x.npy'),
    ])
    expect(code).toBe(1)
    expect(stderr).toContain('/nowhere/model')
    expect(stderr).not.toContain('    at ')
  })
})
