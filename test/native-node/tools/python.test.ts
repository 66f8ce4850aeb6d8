// code_interpreter as a model meets it: real Pyodide in real processes. What it must hold back is in python-escape.test.ts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fileId } from '../../../native-node/tools/file-id.ts'
import { createPythonTool } from '../../../native-node/tools/python/index.ts'
import { decodeText, outcome, pythonCalls } from './python-calls.ts'

const tool = createPythonTool({ maxSessions: 2 })
afterAll(() => tool.close())
const { run, call } = pythonCalls(tool)
// The first start may be one from nothing.
beforeAll(async () => {
  await run('0')
})

describe('a session', () => {
  it('keeps variables from call to call and shows what the last expression is worth', async () => {
    await run('x = 40')
    expect(await run('x += 2\nx')).toMatchObject({ text: '42\n', logs: '42\n', isError: false })
    expect((await run("_ + 1, 'ab', None")).text).toBe("(43, 'ab', None)\n")
    expect((await run('x;')).text).toMatch(/^\[WARN\] No output available\. Use print\(\)/)
    expect((await run('None')).logs).toBe('')
  })

  it('gives what is printed in order, from both streams, in any script', async () => {
    const code = `import sys
print('1 é 日本 😀')
print('2', file=sys.stderr)
sys.stdout.write('3\\n'); print('\\ud800')
'last'`
    expect((await run(code)).text).toBe("1 é 日本 😀\n2\n3\n\\ud800\n'last'\n")
  })

  it('defines functions and classes that later calls use, and pickles them', async () => {
    await run('import pickle, dataclasses\n@dataclasses.dataclass\nclass P:\n    a: int')
    expect((await run('pickle.loads(pickle.dumps(P(3)))')).text).toBe('P(a=3)\n')
  })

  it('imports modules that it wrote', async () => {
    await run("open('/mnt/data/mine.py', 'w').write('answer = 42')")
    expect((await run('import mine\nmine.answer')).text).toBe('42\n')
  })

  it('awaits at the top level and runs event loops', async () => {
    const code = `import asyncio
async def twice(n):
    await asyncio.sleep(0.01)
    return 2 * n
print(await asyncio.gather(twice(1), twice(2)))
asyncio.run(twice(4))`
    const awaited = await run(code)
    expect(awaited.text).toBe('[2, 4]\n8\n')
    expect((await run('await asyncio.Event().wait()')).text).toMatch(/never happen here/)
  })

  it('knows the standard library, its databases and its compression', async () => {
    const code = `import sqlite3, zlib, hashlib, decimal, statistics, zoneinfo
db = sqlite3.connect('/mnt/data/t.db')
db.execute('create table t (a)'); db.execute('insert into t values (7)'); db.commit()
print(db.execute('select a from t').fetchall(), len(zlib.compress(bytes(1000))) < 100)
print(hashlib.sha256(b'').hexdigest()[:8], decimal.Decimal('0.1') * 3, statistics.median([1, 9, 3]))`
    expect((await run(code)).text).toBe('[(7,)] True\ne3b0c442 0.3 3\n')
  })

  it('is one of its own: other variables, other random numbers', async () => {
    await run('secret = 1')
    const draw = 'import random, uuid\nprint(random.random(), uuid.uuid4(), hash)'
    const [mine, other] = [await run(draw), await run(draw, 'another')]
    expect(other.text).not.toBe(mine.text)
    expect((await run('secret', 'another')).text).toMatch(/NameError: name 'secret' is not defined/)
    expect((await run('1', 'a third')).text).toBe('Error: all 2 sessions are in use.')
    await tool.end('another')
    expect((await run('1', 'a third')).text).toBe('1\n')
    await tool.end('a third')
  })
})

describe('an exception', () => {
  it('shows the lines of the code and nothing of ours', async () => {
    const result = await run('def f(a):\n    return 1 / a\nf(0)')
    expect(result).toMatchObject({ isError: true, raised: true })
    expect(result.text).toMatch(
      /^Traceback \(most recent call last\):\n {2}File "<cell \d+>", line 3, in <module>\n {4}f\(0\)/,
    )
    expect(result.text).toMatch(/return 1 \/ a\n.*\nZeroDivisionError: division by zero\n$/)
    expect(result.text).not.toMatch(/notebook/)
  })

  it('names the lines of an earlier call too, and its causes', async () => {
    await run('def g():\n    raise ValueError("inner")')
    const { text } = await run(
      'try:\n    g()\nexcept ValueError as e:\n    raise KeyError("k") from e',
    )
    expect(text).toMatch(/raise ValueError\("inner"\)/)
    expect(text).toMatch(/direct cause[\s\S]*KeyError: 'k'\n$/)
  })

  it('keeps what was printed before it, and the session', async () => {
    expect((await run('kept = 5\nprint("before")\nboom')).text).toMatch(/^before\nTraceback/)
    expect((await run('kept')).text).toBe('5\n')
  })

  it('of syntax points at the place, and says what is no Python here', async () => {
    expect((await run('1 +')).text).toMatch(
      /File "<cell \d+>", line 1\n {4}1 \+\n {7}\^\nSyntaxError/,
    )
    expect((await run('!pip install x')).text).toMatch(/Shell commands \(!\) and magics \(%\)/)
    expect((await run('a\0b')).text).toMatch(/SyntaxError|ValueError/)
  })

  it('of an import says that nothing can be installed', async () => {
    const { text } = await run('import numpy')
    expect(text).toMatch(
      /ModuleNotFoundError: No module named 'numpy'\nOnly Python's standard library/,
    )
    expect((await run('try:\n    import numpy\nexcept ImportError:\n    print("none")')).text).toBe(
      'none\n',
    )
  })

  it('of sys.exit() is no end', async () => {
    expect(await run('import sys; sys.exit()')).toMatchObject({ isError: false })
    expect(await run('sys.exit(3)')).toMatchObject({ isError: true, text: 'SystemExit: 3\n' })
    expect((await run('kept')).text).toBe('5\n')
  })
})

describe('files', () => {
  it('come into a new session, and those that a call makes or changes come back', async () => {
    await tool.end('files')
    const given = [
      { path: 'in.csv', data: Buffer.from('a\n1\n').toString('base64') },
      { path: 'sub/deep.txt', data: Buffer.from('é').toString('base64') },
    ]
    const first = await call({
      arguments: { code: "open('in.csv').read() + open('sub/deep.txt').read()" },
      session: 'files',
      files: given,
    })
    expect(first).toMatchObject({ text: "'a\\n1\\né'\n", isError: false })
    expect(first.files).toBeUndefined()
    const made = await run(
      "import pathlib\npathlib.Path('/mnt/data/out.json').write_text('[1]')\nopen('in.csv', 'a').write('2')\n" +
        "pathlib.Path('new').mkdir()\npathlib.Path('new/p.PNG').write_bytes(b'x' * 9);",
      'files',
    )
    expect(made.files).toHaveLength(3)
    expect(made.files).toEqual(
      expect.arrayContaining([
        {
          path: 'out.json',
          id: fileId('out.json'),
          bytes: 3,
          mediaType: 'application/json',
          data: 'WzFd',
        },
        expect.objectContaining({ path: 'new/p.PNG', bytes: 9, mediaType: 'image/png' }),
      ]),
    )
    expect(decodeText(made, 'in.csv')).toBe('a\n1\n2')
    expect((await run("open('/mnt/data/out.json').read()", 'files')).files).toBeUndefined()
    // Given to a session that is no longer new, they are not put there again.
    await call({ arguments: { code: '1' }, session: 'files', files: given })
    expect((await run("open('in.csv').read()", 'files')).text).toBe("'a\\n1\\n2'\n")
  })

  it('that are too many or too large stay, and the model is told', async () => {
    const many = await run("for i in range(20): open(f'{i:02}.txt', 'w').write('x')", 'files')
    expect(many.files).toHaveLength(16)
    expect(many.text).toMatch(
      /^\[Not returned, too many or too large: 16\.txt, 17\.txt, 18\.txt, 19\.txt\]$/,
    )
    const large = await run(
      "open('large.bin', 'wb').write(bytes(7_000_000)); open('s', 'w').close()",
      'files',
    )
    expect(large.files?.map(({ path }) => path)).toEqual(['s'])
    expect(large.text).toMatch(/large\.bin\]$/)
    await tool.end('files')
  })
})

describe('output', () => {
  it('over the limit is cut, and the code runs on', async () => {
    const { text, logs } = await run("for i in range(60_000): print('0123456789')\ndone = True")
    expect(Buffer.byteLength(logs ?? '')).toBeLessThanOrEqual(256 * 1024)
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(256 * 1024)
    expect(text).toMatch(/\n?\[The output was cut: \d+ more bytes were printed\.\]$/)
    expect(logs).toBe(text)
    expect((await run('done')).text).toBe('True\n')
  })
})

describe('a call', () => {
  it('that is given up is interrupted, and the session lives on', async () => {
    await run('marker = 9')
    const stopped = await call(
      { arguments: { code: "print('begun')\nimport time\ntime.sleep(60)" }, session: 's' },
      AbortSignal.timeout(200),
    )
    expect(outcome(stopped)).toMatch(/^error: begun\nTraceback[\s\S]*KeyboardInterrupt/)
    expect(stopped.text).toMatch(
      /\[The code was interrupted: the call was given up\. Variables and files are kept\.\]$/,
    )
    expect((await run('marker')).text).toBe('9\n')
  })

  it('needs code that is a string of bounded length', async () => {
    for (const given of [{}, { code: 1 }, { code: null }]) {
      const { text } = await call({ arguments: given, session: 's' })
      expect(text).toBe("Error: the argument 'code' must be a string.")
    }
    expect((await run('#'.repeat(1024 * 1024 + 1))).text).toMatch(/the code is too long/)
  })

  it('beside another of the same session is refused', async () => {
    const [first, second] = await Promise.all([run('1'), run('2')])
    expect(first.text).toBe('1\n')
    expect(second.text).toMatch(/still runs an earlier call/)
  })
})
