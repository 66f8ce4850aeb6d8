// Portkey's gateway from npm, on request only: fetched into a temporary folder, at versions that work together (with newer
// ones of hono its streams end in an error).
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Target } from './load.ts'
import { cpuOf, freePort, listening } from './workerd.ts'

const manifest = {
  private: true,
  dependencies: { '@portkey-ai/gateway': '1.15.2' },
  overrides: { hono: '4.9.7', '@hono/node-server': '1.13.8' },
}

export interface Peer {
  target(name: string, body: string): Target
  stop(): void
}

/** Fetches and starts it, its requests going to `upstream` (an OpenAI base URL). */
export async function startPeer(upstream: string): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-peer-'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const port = await freePort()
  const server = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  const child = spawn(process.execPath, [server, '--headless', `--port=${port}`], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await listening(child, port, '/')
  const headers = { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': upstream }
  return {
    target: (name, body) => ({
      name,
      port,
      path: '/v1/chat/completions',
      body,
      headers: () => ({ ...headers, authorization: 'Bearer bench' }),
      cpu: () => cpuOf(child.pid ?? 0),
    }),
    stop() {
      child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
