// What a hostile program in code_interpreter may try, on real processes: each attempt must fail as an ordinary error or end
// its own session, and the tool must go on.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPythonTool } from '../../../native-node/tools/python/index.ts'
import {
  findLayers,
  nodeArguments,
  pyodideFolder,
} from '../../../native-node/tools/python/launch.ts'
import { pythonCalls } from './python-calls.ts'

const memoryMiB = 160
const tool = createPythonTool({
  maxSessions: 1,
  memoryMiB,
  diskMiB: 16,
  graceMs: 700,
  timeoutMs: 60_000,
})
afterAll(() => tool.close())
const { run, call } = pythonCalls(tool)
// The first start may be one from nothing.
beforeAll(async () => {
  await run('0')
})

/** A server that a program could reach if it could reach anything. */
let reached = 0
const server = createServer((socket) => {
  reached++
  socket.destroy()
})
let port = 0
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterAll(() => {
  server.close()
})

/** Runs each piece of code in one session: what it raised, by its code. */
async function raised(attempts: readonly string[]): Promise<Record<string, string>> {
  const code = `import json
def attempt(code):
    try:
        exec(code, {})
        return 'nothing was raised'
    except BaseException as error:
        return type(error).__name__
print(json.dumps([attempt(each) for each in json.loads(${JSON.stringify(JSON.stringify(attempts))})]))`
  const { text } = await run(code)
  const names = JSON.parse(text) as string[]
  return Object.fromEntries(attempts.map((each, index) => [each, names[index] ?? 'lost']))
}

async function allRaise(attempts: readonly string[], expected: RegExp): Promise<void> {
  const names = await raised(attempts)
  for (const [code, name] of Object.entries(names)) expect(`${code}: ${name}`).toMatch(expected)
}

describe('the network', () => {
  it('is reached by no module of the library', async () => {
    await allRaise(
      [
        'import socket; socket.socket()',
        `import socket; socket.create_connection(('127.0.0.1', ${port}))`,
        "import socket; socket.getaddrinfo('example.com', 80)",
        'import socket; socket.socketpair()',
        `import urllib.request; urllib.request.urlopen('http://127.0.0.1:${port}')`,
        `import http.client; http.client.HTTPConnection('127.0.0.1', ${port}).request('GET', '/')`,
        `import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', ${port}))`,
        `import asyncio; asyncio.run(asyncio.start_server(print, '127.0.0.1', 0))`,
        `import smtplib; smtplib.SMTP('127.0.0.1', ${port})`,
        `import ftplib; ftplib.FTP('127.0.0.1')`,
        'from pyodide.http import pyfetch',
        'from js import fetch',
        'from js import WebSocket',
      ],
      /: (PermissionError|gaierror|URLError|OSError|ModuleNotFoundError)$/,
    )
    expect(reached).toBe(0)
  })
})

describe('the host', () => {
  it('has no files, environment, processes or threads here', async () => {
    await allRaise(
      [
        "open('/etc/passwd')",
        `open(${JSON.stringify(import.meta.filename)})`,
        `import os; os.listdir(${JSON.stringify(process.cwd())})`,
        "open('/proc/self/environ')",
        "open('/proc/1/cmdline')",
        'import os; os.fork()',
        "import os; os.execv('/bin/sh', ['sh'])",
        "import os; os.posix_spawn('/bin/sh', ['sh'], {})",
        "import os; os.popen('id')",
        "import subprocess; subprocess.run(['id'])",
        'import multiprocessing; multiprocessing.Process(target=print).start()',
        'import threading; threading.Thread(target=print).start()',
        'import concurrent.futures as c; c.ThreadPoolExecutor().submit(print)',
        'import _thread; _thread.start_new_thread(print, ())',
        'import os; os.pipe()',
        'import signal; signal.setitimer(signal.ITIMER_REAL, 1)',
        "import sqlite3; sqlite3.connect('/etc/passwd').execute('select 1 from x')",
        'import os; os.kill(1, 9)',
      ],
      /: (?!nothing was raised$)\w+$/,
    )
    const code =
      "import os; print(os.system('id'), sorted(os.environ), os.listdir('/mnt'), sorted(os.listdir('/')))"
    const folders = "['dev', 'home', 'lib', 'mnt', 'proc', 'run', 'tmp']"
    expect((await run(code)).text).toBe(`-1 ['HOME', 'LANG', 'TZ'] ['data'] ${folders}\n`)
  })

  it('has no name in Python: JavaScript, foreign functions and their modules are gone', async () => {
    await allRaise(
      [
        'import js; js.process',
        'import pyodide_js',
        'from pyodide.code import run_js',
        'from pyodide.ffi import to_js',
        'import _pyodide_core',
        'import _pyodide._base',
        'import ctypes',
        'import _ctypes',
        "import importlib; importlib.import_module('js')",
        "__import__('pyodide_js').FS",
      ],
      /: ModuleNotFoundError$/,
    )
  })
})

describe('a program that looks for JavaScript where it was hidden', () => {
  const forgetBlocks =
    'import sys\nfor k in [k for k, v in sys.modules.items() if v is None]: del sys.modules[k]\n'
  const findProxies = `import gc
proxies = [o for o in gc.get_objects() if isinstance(o, dict) and set(o) == {'js', 'pyodide_js'}][0]
js, api = proxies['js'], proxies['pyodide_js']
`
  const attempts: Record<string, string> = {
    'the constructor of functions': `${findProxies}js.constructor.constructor('return process')()`,
    'a conversion': `${forgetBlocks}import _pyodide_core\n_pyodide_core.to_js([1])`,
    'a foreign function': `${forgetBlocks}import _ctypes`,
  }
  it.each(Object.keys(attempts))('ends its session: %s', async (name) => {
    const result = await run(attempts[name]!)
    expect(result.isError).toBe(true)
    expect(result.text).toMatch(/^\[The session was ended: the code reached for what is outside/)
    expect(result.text).toMatch(/the next call starts a new session\.\]$/)
    // The client reads the logs alone.
    expect(result.logs).toBe(result.text)
  })

  it('loads no library of its own', async () => {
    const code = `import sys, importlib.machinery
sys.path.insert(0, '/mnt/data')
name = 'evil' + importlib.machinery.EXTENSION_SUFFIXES[-1]
open('/mnt/data/' + name, 'wb').write(b'\\0asm\\1\\0\\0\\0')
import evil`
    expect((await run(code)).text).toMatch(/ImportError: unknown dlopen\(\) error/)
  })
})

describe('a program that takes too much', () => {
  it('of memory gets a MemoryError, at once or by and by, and may go on', async () => {
    await allRaise(
      ['b = bytearray(4 * 10**9)', 'b = bytearray(2 * 10**9)', "'x' * (3 * 10**9)", '[0] * 10**9'],
      /: (MemoryError|OverflowError)$/,
    )
    const code = `held = []
try:
    while True: held.append(bytearray(10**6))
except MemoryError:
    count = len(held); del held
count`
    const { text, isError } = await run(code)
    expect(isError).toBe(false)
    expect(Number(text)).toBeGreaterThan(50)
    expect(Number(text)).toBeLessThan(memoryMiB * 1.05)
    expect((await run('count > 0')).text).toBe('True\n')
  })

  it('of the disk gets an OSError, and room again when it deletes', async () => {
    const fill = "f = open('/mnt/data/big', 'wb')\nwhile True: f.write(bytes(10**6))"
    expect((await run(fill)).text).toMatch(/OSError: \[Errno \d+\] No space left on device/)
    expect((await run("open('/mnt/data/t', 'w').truncate(10**12)")).text).toMatch(/No space left/)
    const again =
      "import os\nf.close(); os.remove('/mnt/data/big')\nopen('/tmp/ok', 'wb').write(bytes(10**7))"
    expect((await run(again)).text).toBe('10000000\n')
  })

  it('of the stack gets a RecursionError, or ends its session where it asked for more', async () => {
    const deep = 'def f(n): return f(n + 1)\n'
    expect((await run(`${deep}f(0)`)).text).toMatch(/RecursionError: maximum recursion depth/)
    const raise = 'import sys; sys.setrecursionlimit(10**9)\n'
    const { text, isError } = await run(`${raise}${deep}f(0)`)
    expect(isError).toBe(true)
    expect(text).toMatch(/RecursionError|MemoryError|\[The session was ended: /)
    expect((await run('1 + 1')).text).toBe('2\n')
  })

  it('of the output is cut', async () => {
    const stop = AbortSignal.timeout(500)
    const flood = "print('x' * 1000)\n".repeat(3)
    const { text } = await call(
      { arguments: { code: `while True:\n    ${flood.replaceAll('\n', '; ')}0` }, session: 's' },
      stop,
    )
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(256 * 1024)
    expect(text).toMatch(/\[The code was interrupted: |The output was cut/)
  })
})

describe('a program that does not end', () => {
  it('is interrupted in a loop, in long arithmetic, in a pattern and in its sleep', async () => {
    const endless = [
      'while True: pass',
      '10**10**9',
      "import re; re.match('(a*)*b', 'a' * 40)",
      'import time; time.sleep(99)',
    ]
    await run('state = 1')
    for (const code of endless) {
      const { text, isError } = await call(
        { arguments: { code }, session: 's' },
        AbortSignal.timeout(300),
      )
      expect(isError).toBe(true)
      expect(text).toMatch(/KeyboardInterrupt|The session was ended: the call was given up/)
    }
    expect((await run('1 + 1')).text).toBe('2\n')
  })

  it('and swallows the interrupt is killed; the next call has a new session', async () => {
    await run('state = 1')
    const code =
      "print('begun')\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass"
    const { logs } = await call({ arguments: { code }, session: 's' }, AbortSignal.timeout(300))
    expect(logs).toMatch(
      /^begun\n\[The session was ended: the call was given up, and the code did not stop/,
    )
    expect((await run("'state' in globals()")).text).toBe('False\n')
  })
})

describe('a program that ends or breaks its interpreter', () => {
  it.each([
    'import os; os._exit(0)',
    'def f(): pass\nf.__code__ = f.__code__.replace(co_code=bytes([100, 255] * 50), co_stacksize=1000)\nf()',
    'import builtins; builtins.__import__ = None; builtins.len = None; builtins.open = None\nimport os',
    "import os; os.close(1)\n__import__('sys').modules.clear()",
  ])('ends no more than its session: %s', async (code) => {
    await run(code)
    const after = await run('1 + 1')
    // What only breaks the notebook shows at the next call.
    const healthy = after.isError ? await run('1 + 1') : after
    expect(healthy).toMatchObject({ text: expect.stringMatching(/^2\n/), isError: false })
  })

  it.skipIf(!existsSync('/proc/self/task'))(
    'nor does a kill from outside, while it runs (needs /proc)',
    async () => {
      await run('state = 1')
      const running = run("print('begun', flush=True)\nwhile True: pass")
      await expect.poll(() => pythonPids().length).toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 300))
      for (const pid of pythonPids()) process.kill(pid, 'SIGKILL')
      expect((await running).text).toMatch(
        /\[The session was ended: the interpreter ended unexpectedly \(SIGKILL\)/,
      )
      expect((await run("'state' in globals()")).text).toBe('False\n')
      // Between two calls: the next one says it.
      for (const pid of pythonPids()) process.kill(pid, 'SIGKILL')
      await expect.poll(() => pythonPids().length).toBe(0)
      // Until the node has heard of it, too.
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect((await run('1')).text).toMatch(/^1\n\[The earlier session ended; this is a new one/)
    },
  )
})

describe('the process around Python', () => {
  it('lets even JavaScript reach nothing', async () => {
    const script = `
const blocked = (name, attempt) => { try { attempt(); console.log(name, 'WORKED') } catch (error) { console.log(name, error.code ?? error.name) } }
const { readFileSync, writeFileSync, readdirSync } = require('node:fs')
blocked('read', () => readFileSync('/etc/passwd'))
blocked('list', () => readdirSync('/'))
blocked('write', () => writeFileSync('/tmp/x', ''))
blocked('spawn', () => require('node:child_process').spawnSync('id'))
blocked('worker', () => new (require('node:worker_threads').Worker)('1', { eval: true }))
blocked('addon', () => process.dlopen({ exports: {} }, '/x.node'))
blocked('binding', () => process.binding('fs'))
blocked('eval', () => Function('return 1')())
console.log('environment', Object.keys(process.env).length)
`
    const args = nodeArguments(memoryMiB, pyodideFolder()).slice(0, -1)
    const { stdout } = await promisify(execFile)(process.execPath, [...args, '-e', script], {
      env: {},
    })
    expect(stdout.trim().split('\n')).toEqual([
      'read ERR_ACCESS_DENIED',
      'list ERR_ACCESS_DENIED',
      'write ERR_ACCESS_DENIED',
      'spawn ERR_ACCESS_DENIED',
      'worker ERR_ACCESS_DENIED',
      'addon ERR_DLOPEN_DISABLED',
      'binding ERR_ACCESS_DENIED',
      'eval EvalError',
      'environment 0',
    ])
  })

  it('has no network where this machine has namespaces', async () => {
    const layers = await findLayers(memoryMiB)
    const script = `
const socket = require('node:net').connect(${port}, '127.0.0.1')
socket.on('connect', () => { console.log('WORKED'); socket.destroy() }).on('error', ({ code }) => console.log(code))`
    const [command = '', ...args] = [...layers, process.execPath, '-e', script]
    const { stdout } = await promisify(execFile)(command, args, { env: {} })
    if (layers.some((each) => each.endsWith('/unshare'))) expect(stdout.trim()).toBe('ENETUNREACH')
    else expect(stdout.trim()).toBe('WORKED')
  })
})

/** The processes that this one has started for Python. */
function pythonPids(): number[] {
  return readdirSync('/proc/self/task').flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, 'utf8')
      .split(' ')
      .filter(
        (pid) =>
          pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('python/child.ts'),
      )
      .map(Number),
  )
}
