// How `switchyard up` ends when the npm that runs it does: npm alone gets the signal, as from a supervisor, not its group.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { freePort, until } from '../e2e/up.ts'
import { root } from './run.ts'

const scripts: { start: string } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')).scripts

/** Ways in which people start it; the words are npm's. */
const ways = {
  'npm start': {
    words: ['start', '--', '--no-node'],
    start: scripts.start.replace('bin/', `${root}bin/`),
  },
  npx: { words: ['exec', '--', 'switchyard', 'up', '--no-node'], start: '' },
  'a script of theirs': { words: ['start'], start: 'echo started && switchyard up --no-node 2>&1' },
  'npm start, with a node': {
    words: ['start'],
    start: scripts.start.replace('bin/', `${root}bin/`),
  },
}

interface Started {
  npm: ChildProcess
  log: () => string
  /** Every process below npm. */
  below: number[]
}

async function start(way: keyof typeof ways): Promise<Started> {
  const { words, start } = ways[way]
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-npm-'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { start } }))
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true })
  symlinkSync(join(root, 'bin/switchyard'), join(folder, 'node_modules/.bin/switchyard'))
  const port = await freePort()
  const npm = spawn('npm', words, {
    cwd: folder,
    env: {
      ...process.env,
      PORT: String(port),
      HOST: '127.0.0.1',
      npm_config_offline: 'true',
      npm_config_update_notifier: 'false',
      npm_config_cache: join(folder, 'cache'),
    },
    // As a terminal would: one group, so that a signal to npm alone is told from one to all.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [npm.stdout, npm.stderr])
    stream.on('data', (piece: Buffer) => {
      log += piece.toString()
    })
  await until(async () => {
    if (npm.exitCode !== null) throw new Error(log)
    return log.includes('switchyard: ready') ? true : undefined
  }, 60_000)
  return { npm, log: () => log, below: descendants(npm.pid ?? 0) }
}

function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  return children.filter(Boolean).flatMap((child) => [Number(child), ...descendants(Number(child))])
}

function alive(pid: number): boolean {
  try {
    // A zombie has ended; nobody has read its exit yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Resolves when npm and all below are gone; ends them itself where they do not. */
async function allEnded({ npm, below }: Started): Promise<void> {
  const left = () => [npm.pid ?? 0, ...below].filter(alive)
  try {
    await until(async () => (left().length > 0 ? undefined : true))
  } finally {
    for (const pid of left()) process.kill(pid, 'SIGKILL')
  }
}

describe('a signal to npm alone ends all', () => {
  it.concurrent.each([
    ['npm start', 'SIGTERM'],
    ['npm start', 'SIGINT'],
    ['npm start', 'SIGKILL'],
    ['npm start, with a node', 'SIGKILL'],
    ['npx', 'SIGTERM'],
    ['npx', 'SIGKILL'],
    ['a script of theirs', 'SIGHUP'],
  ] as const)('%s, %s', async (way, signal) => {
    const all = await start(way)
    expect(all.below.length).toBeGreaterThan(1)
    all.npm.kill(signal)
    await allEnded(all)
  })
})

it.concurrent('Ctrl-C, which npm passes on as well, ends it in order', async () => {
  const all = await start('npm start')
  const code = new Promise((resolve) => all.npm.once('exit', resolve))
  process.kill(-(all.npm.pid ?? 0), 'SIGINT')
  await allEnded(all)
  expect(await code).toBe(0)
  expect(all.log()).toContain('SIGINT, stopping')
})
