// What `up` adds to the Worker: keys and tenants, and what it refuses to start with.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { switchyard } from '../cli/run.ts'
import { startUp, type Up, until } from './up.ts'

const key = 'sy_launcher_test_key_1'
let up: Up

beforeAll(async () => {
  up = await startUp({
    env: { SWITCHYARD_KEYS: JSON.stringify({ acme: key, other: 'sy_launcher_test_key_2' }) },
  })
})

afterAll(async () => {
  expect(await up.stop()).toBe(0)
})

const ask = (bearer: string | undefined, body: object) =>
  fetch(`${up.base}/v1/responses`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
    },
    body: JSON.stringify(body),
  })

describe('keys', () => {
  it('the launcher’s node serves the first tenant, and says so', async () => {
    expect(up.log()).toContain("serves the tenant 'acme'")
    expect((await ask(key, { model: 'switchyard/demo', input: 'Hello' })).status).toBe(200)
    expect(
      (await ask('sy_launcher_test_key_2', { model: 'switchyard/demo', input: 'Hello' })).status,
    ).toBe(404)
    expect((await ask(undefined, { model: 'switchyard/demo', input: 'Hello' })).status).toBe(401)
  })

  it('an address that others reach needs keys', async () => {
    const ran = await switchyard(['up', '--host', '0.0.0.0', '--port', '8799', '--no-node'], {
      env: { SWITCHYARD_KEYS: '' },
    })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('SWITCHYARD_KEYS')
  })

  it('a bad configuration is refused with the path of its field', async () => {
    const path = join(up.folder, 'bad.json')
    writeFileSync(path, '{"providers":{"groq":{"timeouts":{"headersMs":-1}}}}')
    const ran = await switchyard(['up', '--port', '8799', '--no-node'], {
      env: { SWITCHYARD_CONFIG_FILE: path },
    })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('providers.groq.timeouts.headersMs')
  })
})

describe('one launcher a folder', () => {
  it('a second one is refused, and says who runs', async () => {
    const ran = await switchyard(['up', '--port', '8799', '--no-node'], { cwd: up.folder })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(`process ${up.process.pid}`)
  })

  it('one that is killed leaves no process behind', async () => {
    const other = await startUp()
    const own = processesOf(other.process.pid ?? 0)
    expect(own.some((line) => line.includes('workerd'))).toBe(true)
    expect(own.some((line) => line.includes('cli/index.ts'))).toBe(true)
    other.process.kill('SIGKILL')
    await until(async () =>
      own.every((line) => !alive(Number(line.split(' ')[0]))) ? true : undefined,
    )
  })
})

describe('a gateway that dies', () => {
  it('is started again, and its node joins it', async () => {
    const other = await startUp()
    const [workerd = ''] = processesOf(other.process.pid ?? 0).filter((line) =>
      line.includes('workerd'),
    )
    process.kill(Number(workerd.split(' ')[0]), 'SIGKILL')
    await until(async () => (other.log().includes('starting it again') ? true : undefined))
    await until(async () => ((await other.health()).status === 200 ? true : undefined))
    expect(await other.stop()).toBe(0)
  })

  it('while all is ended stays so', async () => {
    const other = await startUp({ words: ['--no-node'] })
    const own = processesOf(other.process.pid ?? 0)
    process.kill(Number(own[0]?.split(' ')[0]), 'SIGKILL')
    await until(async () => (other.log().includes('starting it again') ? true : undefined))
    expect(await other.stop()).toBe(0)
    expect(own.filter((line) => alive(Number(line.split(' ')[0])))).toEqual([])
  })
})

describe('node', () => {
  it('keeps its packed weights where the launcher was told to', async () => {
    const other = await startUp({ words: ['--weights-cache', 'packed'] })
    expect(other.log()).toContain('packed weights: written to ')
    expect(await other.stop()).toBe(0)
    expect(readdirSync(join(other.folder, 'packed'))).toEqual([
      expect.stringMatching(/^demo-.*\.weights$/),
    ])
  })

  it('does not repeat a token that it cannot send', async () => {
    const ran = await switchyard([
      'node',
      '--gateway',
      up.base,
      '--token',
      'secret\npart',
      '--model',
      'x',
    ])
    expect(ran.code).toBe(2)
    expect(ran.stderr).not.toContain('part')
  })
})

/** `pid command line` of the children. */
function processesOf(parent: number): string[] {
  return readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
    .split(' ')
    .filter((pid) => pid.trim() !== '')
    .map((pid) => `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`)
    .filter((line) => !line.includes('guard'))
}

function alive(pid: number): boolean {
  try {
    // A zombie has ended; nobody has read its exit yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
