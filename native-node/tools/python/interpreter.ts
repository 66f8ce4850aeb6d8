// Python in this process: starts Pyodide as if there were no Node around it, takes from it every way back to JavaScript, and
// runs cells. Only the child process imports this file.
import { randomFillSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type ImportedFunction, ImportGate, type Imports } from './import-gate.ts'
import type { FileSystem } from './virtual-disk.ts'

/** What Emscripten's module offers of what is used here. */
interface PythonModule {
  FS: FileSystem
  HEAPU8: Uint8Array
  HEAP8: Int8Array
  _Py_EMSCRIPTEN_SIGNAL_HANDLING: number
  _PyRun_SimpleString(text: number): number
  _free(pointer: number): void
  stringToNewUTF8(text: string): number
}

interface EmscriptenSettings {
  instantiateWasm(imports: Imports, done: (instance: unknown, module: unknown) => void): unknown
}

interface Pyodide {
  runPython(code: string): unknown
  makeMemorySnapshot(): Uint8Array
  setStdin(options: { stdin: () => undefined }): void
  setStdout(options: { write: (bytes: Uint8Array) => number; isatty: boolean }): void
  setStderr(options: { write: (bytes: Uint8Array) => number; isatty: boolean }): void
}

export interface BootOptions {
  /** Of the npm package `pyodide`. */
  pyodideFolder: string
  /** The memory of an interpreter that had started; undefined: start one from nothing. */
  snapshot: Uint8Array | undefined
  /** Called with the memory as it is before anything of a user runs; undefined: not wanted. */
  onSnapshot: ((memory: Uint8Array) => void) | undefined
  onOutput: (bytes: Uint8Array) => void
  /** 2 to interrupt the running code, else 0. Called often while Python runs. */
  signal: () => number
  /** An import was called that is shut; must not return. */
  onBreach: (name: string) => never
}

/** Modules that nearly every program needs: in the snapshot they cost nothing. None may hold random state. */
const preloaded =
  'ast, asyncio, collections, datetime, functools, io, itertools, json, linecache, math, re, traceback'

export class Interpreter {
  readonly fs: FileSystem
  readonly #module: PythonModule

  constructor(module: PythonModule) {
    this.#module = module
    this.fs = module.FS
  }

  /**
   * Runs statements in `__main__`; false where an exception left them. Throws what ended WebAssembly itself: the
   * interpreter is of no more use then.
   */
  execute(code: string): boolean {
    const pointer = this.#module.stringToNewUTF8(code)
    const status = this.#module._PyRun_SimpleString(pointer)
    this.#module._free(pointer)
    return status === 0
  }
}

/** Under a name that tracebacks are told from. */
const setUp = `exec(compile(open('/run/notebook/notebook.py').read(), '<notebook>', 'exec'))`

/** Starts Python. From here on this process has none of Node's globals. */
export async function bootPython(options: BootOptions): Promise<Interpreter> {
  leaveNode(options.pyodideFolder)
  const gate = new ImportGate(options.onBreach)
  const module = await loadGuarded(gate, options)
  const interpreter = new Interpreter(module)
  for (const folder of ['/mnt/data', '/run/notebook']) module.FS.mkdirTree(folder)
  const notebook = readFileSync(join(import.meta.dirname, 'notebook.py'))
  module.FS.writeFile('/run/notebook/notebook.py', notebook)
  if (!interpreter.execute(setUp)) throw new Error('The notebook could not be set up.')
  module.HEAP8[module._Py_EMSCRIPTEN_SIGNAL_HANDLING] = 1
  gate.shut()
  return interpreter
}

/**
 * Takes Node's globals away, before Pyodide looks for them: it then holds no `require`, `fs`, `child_process` or socket that
 * could be found in it, and reads its own three files through the functions that a JavaScript shell has.
 */
function leaveNode(pyodideFolder: string): void {
  const allowed = ['pyodide.asm.wasm', 'python_stdlib.zip']
  const own = (path: string) => {
    if (!allowed.includes(basename(path))) throw new Error('There is no such file.')
    return new Uint8Array(readFileSync(join(pyodideFolder, basename(path))))
  }
  const shell = {
    read: () => {
      throw new Error('There is no such file.')
    },
    load: () => {},
    readbuffer: own,
    // Emscripten then takes random bytes from `crypto`, as a worker of a browser does.
    WorkerGlobalScope: class {},
  }
  const kept = new Set(
    `Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp Error
    AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError globalThis JSON Math Intl ArrayBuffer
    Atomics Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array Float16Array Float32Array Float64Array
    Uint8ClampedArray BigUint64Array BigInt64Array DataView Map BigInt Set WeakMap WeakSet WeakRef Proxy Reflect
    FinalizationRegistry SharedArrayBuffer decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape isFinite
    isNaN Iterator SuppressedError DisposableStack AsyncDisposableStack WebAssembly console performance crypto TextDecoder
    TextEncoder URL setTimeout clearTimeout queueMicrotask AbortController AbortSignal DOMException Event EventTarget
    Buffer`.split(/\s+/),
  )
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!kept.has(name)) Reflect.deleteProperty(globalThis, name)
  }
  Object.assign(globalThis, shell)
}

async function loadGuarded(gate: ImportGate, options: BootOptions): Promise<PythonModule> {
  const { pyodideFolder, snapshot, onSnapshot, onOutput } = options
  const from = (name: string) => import(pathToFileURL(join(pyodideFolder, name)).href)
  const [{ loadPyodide, version }, { default: createModule }] = await Promise.all([
    from('pyodide.mjs'),
    from('pyodide.asm.mjs'),
  ])
  let module: PythonModule | undefined
  const createPyodideModule = (settings: EmscriptenSettings) => {
    const { instantiateWasm } = settings
    settings.instantiateWasm = (imports, done) => {
      gate.guard(imports, ownImports(module!, options.signal))
      return instantiateWasm(imports, done)
    }
    // Emscripten makes the settings themselves the module, and runs WebAssembly before it hands it back.
    module = settings as EmscriptenSettings & PythonModule
    return createModule(settings)
  }
  const pyodide: Pyodide = await loadPyodide({
    indexURL: pyodideFolder,
    jsglobals: {},
    lockFileContents: emptyLock(version),
    createPyodideModule,
    ...(snapshot ? { _loadSnapshot: snapshot } : {}),
    ...(onSnapshot ? { _makeSnapshot: true } : {}),
  })
  if (snapshot) release(snapshot)
  if (onSnapshot) {
    pyodide.runPython(`import ${preloaded}`)
    onSnapshot(pyodide.makeMemorySnapshot())
  }
  connectStreams(pyodide, onOutput)
  return module!
}

// Taken before the globals go.
const clone = structuredClone

/** Frees bytes that Pyodide's settings would hold on to. */
function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) clone(buffer, { transfer: [buffer] })
}

/** Imports that are ours. */
function ownImports(module: PythonModule, signal: () => number): Record<string, ImportedFunction> {
  const clock = new Int32Array(new SharedArrayBuffer(4))
  return {
    random_get: (pointer: number, length: number) => {
      randomFillSync(module.HEAPU8.subarray(pointer >>> 0, (pointer >>> 0) + (length >>> 0)))
      return 0
    },
    _Py_CheckEmscriptenSignals_Helper: signal,
    // Asked in a loop by what sleeps, and by nothing else: so that waiting costs no processor.
    emscripten_get_now: () => {
      Atomics.wait(clock, 0, 0, 1)
      return performance.now()
    },
  }
}

function connectStreams(pyodide: Pyodide, onOutput: (bytes: Uint8Array) => void): void {
  const write = (bytes: Uint8Array) => {
    onOutput(bytes)
    return bytes.byteLength
  }
  pyodide.setStdout({ write, isatty: false })
  pyodide.setStderr({ write, isatty: false })
  pyodide.setStdin({ stdin: () => undefined })
}

/** No packages: what Pyodide would else read from its lock file, to download them. */
function emptyLock(version: string): object {
  return {
    info: {
      version,
      python: '3.14.2',
      arch: 'wasm32',
      platform: 'emscripten_5_0_3',
      abi_version: '2026_0',
    },
    packages: {},
  }
}
