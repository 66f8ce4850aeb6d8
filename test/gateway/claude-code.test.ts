// Claude Code itself against the Worker, with a scripted model behind it: one turn, then a tool round trip. Opt-in, as the
// program has 380 MB: CLAUDE_CODE=/path/to/claude npx vitest run test/gateway/claude-code.test.ts
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

const program = process.env.CLAUDE_CODE
const model = 'openai/gpt-oss-120b'

describe.skipIf(!program)('Claude Code', () => {
  let upstream: TestUpstream
  let gateway: TestGateway
  let folder: string

  beforeAll(async () => {
    upstream = await startUpstream()
    const fake = { baseUrl: `${upstream.origin}/v1`, models: { [model]: 'gpt-oss-120b' } }
    gateway = await startGateway({
      config: { providers: { fake } },
      bindings: {
        FAKE_API_KEY: 'k',
        SWITCHYARD_KEYS: JSON.stringify({ acme: 'sy_secret_key_1' }),
      },
    })
    folder = mkdtempSync(join(tmpdir(), 'switchyard-claude-'))
  })

  afterAll(async () => {
    await gateway?.stop()
    await upstream?.stop()
    if (folder) rmSync(folder, { recursive: true })
  })

  /** Runs one prompt; gives the result that the program prints. */
  function run(prompt: string, ...words: string[]): Promise<Record<string, unknown>> {
    const child = spawn(program ?? '', ['-p', prompt, '--output-format', 'json', ...words], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        ANTHROPIC_BASE_URL: gateway.url,
        ANTHROPIC_API_KEY: 'sy_secret_key_1',
        ANTHROPIC_MODEL: model,
        ANTHROPIC_SMALL_FAST_MODEL: model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let printed = ''
    child.stdout.on('data', (piece: Buffer) => {
      printed += piece.toString()
    })
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => resolve(JSON.parse(printed)))
    })
  }

  it('is answered, and reads the usage', async () => {
    const usage = {
      prompt_tokens: 9000,
      completion_tokens: 12,
      total_tokens: 9012,
      prompt_tokens_details: { cached_tokens: 8000 },
    }
    const counts = `data: ${JSON.stringify({ choices: [], usage })}\n\n`
    upstream.reply((response) => {
      const words = textStream('Hello from ', 'an open model.')
      sse(response, chunk({ reasoning: 'A greeting.' }), ...words.toSpliced(-1, 0, counts))
    })
    expect(await run('Say hello.')).toMatchObject({
      is_error: false,
      result: 'Hello from an open model.',
      stop_reason: 'end_turn',
      usage: { input_tokens: 1000, cache_read_input_tokens: 8000, output_tokens: 12 },
    })
  })

  it('runs the tool that the model calls, and goes on with what came of it', async () => {
    const input = JSON.stringify({ command: 'echo proof > proof.txt', description: 'Writes it' })
    upstream.reply((response) => {
      const isFirst = upstream.requests.length === 1
      const call = { index: 0, id: 'call_1', function: { name: 'Bash', arguments: input } }
      const pieces = [chunk({ reasoning: 'It is a command.' }), chunk({ tool_calls: [call] })]
      if (isFirst) sse(response, ...pieces, chunk({}, 'tool_calls'), 'data: [DONE]\n\n')
      else sse(response, ...textStream('Written.'))
    })
    const result = await run('Write the proof.', '--allowedTools', 'Bash')
    expect(result).toMatchObject({ is_error: false, result: 'Written.', num_turns: 2 })
    expect(readFileSync(join(folder, 'proof.txt'), 'utf8')).toBe('proof\n')
    const messages = upstream.requests.at(-1)?.body.messages as Record<string, unknown>[]
    expect(messages.at(-2)).toMatchObject({
      role: 'assistant',
      // Claude Code asks for no thinking text; it came back in the signature.
      reasoning: 'It is a command.',
      tool_calls: [{ id: 'call_1', function: { name: 'Bash' } }],
    })
    expect(messages.at(-1)).toMatchObject({ role: 'tool', tool_call_id: 'call_1' })
  })
})
