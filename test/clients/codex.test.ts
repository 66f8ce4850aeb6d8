// Codex itself against the gateway, with a scripted model behind it. Opt-in, as the package has more than 100 MB:
//   CODEX=fetch npx vitest run test/clients/codex.test.ts      fetches it from npm into a temporary folder
//   CODEX=/path/to/codex npx vitest run test/clients/codex.test.ts
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { features } from './features.ts'
import { model, picture, said, scene } from './scene.ts'

const version = '0.169.0'
const wanted = process.env.CODEX

interface Ran {
  code: number | null
  items: { type: string; text?: string; aggregated_output?: string }[]
}

describe.skipIf(!wanted)('opt-in: CODEX names the program', () => {
  const on = scene()
  let folder: string
  let program: string
  let front: Server
  /** The request lines that came, without their protocol. */
  let lines: string[] = []

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'switchyard-codex-'))
    program = wanted === 'fetch' ? fetchCodex(folder) : String(wanted)
    front = createServer((client) => {
      const gateway = connect(Number(new URL(on.baseURL).port), '127.0.0.1')
      client.once('data', (first) => lines.push(String(first).split(' HTTP/', 1)[0] ?? ''))
      client.pipe(gateway).pipe(client)
      client.on('error', () => gateway.destroy())
      gateway.on('error', () => client.destroy())
    })
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => {
    front.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** `codex exec` with a home of its own. */
  function run(prompt: string, socket: boolean, ...more: string[]): Promise<Ran> {
    lines = []
    const home = mkdtempSync(join(folder, 'home-'))
    const { port } = front.address() as AddressInfo
    writeFileSync(
      join(home, 'config.toml'),
      [
        `model = "${model}"`,
        'model_provider = "switchyard"',
        '[model_providers.switchyard]',
        'name = "switchyard"',
        `base_url = "http://127.0.0.1:${port}/v1"`,
        'wire_api = "responses"',
        `supports_websockets = ${socket}`,
      ].join('\n'),
    )
    const options = ['--json', '--skip-git-repo-check', '-s', 'danger-full-access']
    const words = ['exec', ...options, prompt, ...more]
    const child = spawn(program, words, {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home, CODEX_HOME: home },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    child.stdout.on('data', (piece: Buffer) => {
      printed += piece.toString()
    })
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        const events = printed.split('\n').filter((line) => line.startsWith('{'))
        const items = events.map((line) => JSON.parse(line)).flatMap(({ item }) => item ?? [])
        resolve({ code, items })
      })
    })
  }

  const shell = { name: 'exec_command', arguments: { cmd: 'echo from-the-shell' } }

  describe.each([
    [`Codex CLI ${version}, POST`, false],
    [`Codex CLI ${version}, socket`, true],
  ])('%s', (_, socket) => {
    it(socket ? features.socket : features.textStreamed, async () => {
      on.answers({ text: 'It works.' })
      const { code, items } = await run('Say that it works.', socket)
      expect(code).toBe(0)
      expect(items).toContainEqual(
        expect.objectContaining({ type: 'agent_message', text: 'It works.' }),
      )
      expect(said(on.asked()[0]).at(-1)).toContain('Say that it works.')
      expect(new Set(lines.filter((line) => line.includes('/responses')))).toEqual(
        new Set([socket ? 'GET /v1/responses' : 'POST /v1/responses']),
      )
    })

    const loop = features.toolLoopStreamed
    it.each(socket ? [loop, features.socketContinuation] : [loop])('%s', async () => {
      on.answers({ calls: [shell] }, { text: 'Echoed.' })
      const { code, items } = await run('Echo something.', socket)
      expect(code).toBe(0)
      expect(items.at(-1)).toMatchObject({ type: 'agent_message', text: 'Echoed.' })
      expect(items.some((item) => item.aggregated_output?.includes('from-the-shell'))).toBe(true)
      expect(said(on.asked()[1]).at(-1)).toMatch(/^tool: .*from-the-shell/s)
      // Nothing made it open another socket and send everything again.
      if (socket) expect(lines).toEqual(['GET /v1/responses'])
    })

    it(features.reasoningBack, async () => {
      on.answers({ reasoning: 'Use the shell.', calls: [shell] }, { text: 'Echoed.' })
      const { code } = await run('Echo something.', socket)
      expect(code).toBe(0)
      expect(JSON.stringify(on.asked()[1]?.messages)).toContain('Use the shell.')
    })

    it(features.image, async () => {
      on.answers({ text: 'A dot.' })
      const file = join(folder, 'dot.png')
      writeFileSync(file, Buffer.from(picture.split(',')[1] ?? '', 'base64'))
      expect((await run('What is it?', socket, '-i', file)).code).toBe(0)
      expect(JSON.stringify(on.asked()[0]?.messages)).toContain('data:image/png;base64,')
    })

    it(features.largeBody, async () => {
      on.answers({ text: 'Long.' })
      const prompt = 'lorem ipsum '.repeat(10_000)
      const { code } = await run(prompt, socket)
      expect(code).toBe(0)
      expect(said(on.asked()[0]).join('')).toContain(prompt.trim())
    })
  })
})

function fetchCodex(folder: string): string {
  const words = [
    'install',
    '--prefix',
    folder,
    '--no-audit',
    '--no-fund',
    `@openai/codex@${version}`,
  ]
  execFileSync('npm', words, { stdio: ['ignore', 'ignore', 'inherit'] })
  return join(folder, 'node_modules/.bin/codex')
}
