// `switchyard tools`, as users and MCP clients of the official package meet it.
import { spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterEach, describe, expect, it } from 'vitest'
import { root, switchyard } from './run.ts'

const leave: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const each of leave.splice(0)) await each()
})

/** A folder with this configuration. */
function folderWith(document: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-tools-'))
  writeFileSync(join(folder, 'switchyard.json'), JSON.stringify(document))
  return folder
}

const search = { tools: { web_search: { backend: 'searxng', url: 'http://127.0.0.1:9' } } }
const textOf = (result: { content: unknown }) => JSON.stringify(result.content)

describe('the list', () => {
  it('says what is on and what a tool still needs', async () => {
    const cwd = folderWith({})
    const { code, stdout } = await switchyard(['tools'], { cwd })
    expect(code).toBe(0)
    expect(stdout.toString()).toBe(
      'code_interpreter  on\nweb_search        off: set tools.web_search in switchyard.json\n',
    )
    const listed = await switchyard(['tools', '--json'], { cwd: folderWith(search) })
    expect(JSON.parse(listed.stdout.toString())).toEqual({
      tools: [
        { name: 'code_interpreter', on: true, mcp: ['python'] },
        { name: 'web_search', on: true, backend: 'searxng', mcp: ['search', 'open', 'find'] },
      ],
    })
  })

  it('honours a document that turns Python off', async () => {
    const cwd = folderWith({ tools: { code_interpreter: false } })
    const { stdout } = await switchyard(['tools'], { cwd })
    expect(stdout.toString()).toMatch(/^code_interpreter {2}off\n/)
    const served = await switchyard(['tools', '--mcp'], { cwd })
    expect(served.code).toBe(1)
    expect(served.stderr).toContain('No tool is switched on')
  })

  it.each([
    [['--http', '0'], '--http goes with --mcp'],
    [['--tools', 'shell'], "'shell' is none of code_interpreter, web_search"],
    [['--tools', 'web_search'], 'set tools.web_search in switchyard.json'],
  ])('%j is wrong usage', async (words, message) => {
    const { code, stderr, stdout } = await switchyard(['tools', ...words], { cwd: folderWith({}) })
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(stdout.length).toBe(0)
  })

  it('a bad document is named with its field', async () => {
    const cwd = folderWith({ tools: { web_search: { backend: 'searxng' } } })
    const { code, stderr } = await switchyard(['tools'], { cwd })
    expect(code).toBe(1)
    expect(stderr).toContain('tools.web_search.url: is required')
    const keyless = folderWith({ tools: { web_search: { backend: 'exa', keyEnv: 'NO_SUCH_KEY' } } })
    const unset = await switchyard(['tools'], { cwd: keyless })
    expect(unset.code).toBe(1)
    expect(unset.stderr).toContain('NO_SUCH_KEY is not set')
  })
})

describe('over stdio', () => {
  it('runs Python that keeps its variables, and ends with its client', {
    timeout: 120_000,
  }, async () => {
    const transport = new StdioClientTransport({
      command: `${root}bin/switchyard`,
      args: ['tools', '--mcp'],
      cwd: folderWith({}),
      stderr: 'ignore',
    })
    const client = new Client({ name: 'test', version: '1' })
    await client.connect(transport)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['python'])
    const run = (code: string) =>
      client.callTool({ name: 'python', arguments: { code } }, { timeout: 100_000 })
    await run('x = 6 * 7')
    expect(textOf(await run('print(x)'))).toContain('42')
    expect(await run('1 / 0')).toMatchObject({ isError: true })
    const { pid } = transport
    await client.close()
    expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH')
  })
})

describe('over HTTP', () => {
  async function serve(cwd: string): Promise<string> {
    const child = spawn(`${root}bin/switchyard`, ['tools', '--mcp', '--http', '0'], { cwd })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    leave.push(() => {
      child.kill('SIGTERM')
      return ended
    })
    let said = ''
    for await (const piece of child.stderr) {
      said += piece
      const url = /ready: (\S+)/.exec(said)?.[1]
      if (url !== undefined) return url
    }
    throw new Error(said)
  }

  it('serves both wires of the protocol, on loopback alone', async () => {
    const url = await serve(folderWith(search))
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/mcp$/)
    for (const mode of ['legacy', 'auto'] as const) {
      const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } })
      await client.connect(new StreamableHTTPClientTransport(new URL(url)))
      const { tools } = await client.listTools()
      expect(tools.map(({ name }) => name)).toEqual(['python', 'search', 'open', 'find'])
      const bad = await client.callTool({ name: 'python', arguments: {} })
      expect(bad).toMatchObject({ isError: true })
      expect(textOf(bad)).toContain("'code' must be a string")
      const none = await client.callTool({ name: 'rm', arguments: {} })
      expect(textOf(none)).toContain("There is no tool 'rm'.")
      const search = await client.callTool({ name: 'search', arguments: { query: 'x' } })
      expect(search).toMatchObject({ isError: true })
      await client.close()
    }
    const foreign = await fetch(url, {
      method: 'POST',
      headers: { origin: 'https://evil.example', 'content-type': 'application/json' },
      body: '{}',
    })
    expect(foreign.status).toBe(403)
  })
})
