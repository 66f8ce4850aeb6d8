// The Python process: one session. It boots, says that it is ready, and runs cell after cell until the node closes the pipe or
// kills it. Started by launch.ts with Node's permissions taken away; knows nothing of the node but the pipe.
import { fstatSync, readSync } from 'node:fs'
import { frameKind } from './frames.ts'
import { bootPython, type Interpreter } from './interpreter.ts'
import { InterruptSwitch } from './interrupt-switch.ts'
import type { Answer, ChildSettings, FileMessage, RunMessage } from './messages.ts'
import { OutputCollector } from './output-collector.ts'
import { ChildPipe, descriptors } from './pipe.ts'
import { VirtualDisk } from './virtual-disk.ts'

// Kept here: booting takes `process` away from everybody.
const { exit, argv } = process
const settings = JSON.parse(argv[2] ?? '') as ChildSettings
const pipe = new ChildPipe()
const output = new OutputCollector(settings.outputBytes, (bytes) =>
  pipe.write(frameKind.output, bytes),
)
const interrupt = new InterruptSwitch(settings.lastResortMs, () => output.flushOld(), exit)

/** What os._exit(), os.abort() and a crash of the interpreter come to. */
const exits = new Set(['exit', 'proc_exit', '_abort_js', '__assert_fail'])

try {
  await serve()
} finally {
  output.flush()
}

async function serve(): Promise<void> {
  // What goes wrong at the start is told too.
  output.begin()
  const python = await bootPython({
    pyodideFolder: settings.pyodideFolder,
    snapshot: settings.makeSnapshot ? undefined : readSnapshot(),
    onSnapshot: settings.makeSnapshot
      ? (memory) => pipe.write(frameKind.snapshot, memory)
      : undefined,
    onOutput: (bytes) => output.push(bytes),
    signal: () => interrupt.poll(),
    onBreach: (name) =>
      end(
        exits.has(name)
          ? 'the code ended the interpreter'
          : `the code reached for what is outside of the sandbox (${name})`,
      ),
  })
  const disk = new VirtualDisk(python.fs, settings.diskBytes)
  pipe.say({ type: 'ready' })
  for (let message = pipe.next(); message !== undefined; message = pipe.next()) {
    if (message.type === 'run') run(message, python, disk)
    else handle(message, disk)
  }
  exit(0)
}

function answerTo(message: FileMessage, disk: VirtualDisk): Answer {
  const { type } = message
  switch (type) {
    case 'list':
      return { type, files: disk.list() }
    case 'read': {
      const bytes = disk.read(message.path)
      if (bytes !== undefined) pipe.write(frameKind.file, bytes)
      return { type, found: bytes !== undefined }
    }
    case 'write':
      return { type, refused: disk.write(message.path, pipe.file()) }
    case 'remove':
      return { type, found: disk.remove(message.path) }
  }
}

/** Something to do with files. */
function handle(message: FileMessage, disk: VirtualDisk): void {
  try {
    pipe.say(answerTo(message, disk))
  } catch (error) {
    end(reasonOf(error))
  }
}

function run({ code, files, fileData }: RunMessage, python: Interpreter, disk: VirtualDisk): void {
  output.begin()
  try {
    addFiles(disk, files)
    python.fs.writeFile('/run/notebook/request.json', JSON.stringify(code))
    interrupt.arm()
    const ran = python.execute('__import__("sys").modules["_notebook"].run()')
    interrupt.disarm()
    if (!ran) end('the code broke the notebook that ran it')
    const ok: unknown = JSON.parse(
      Buffer.from(python.fs.readFile('/run/notebook/answer.json')).toString(),
    )
    output.flush()
    const { files: most, fileBytes: mostBytes, fileNames: mostNames } = settings
    const changed = disk.changes({ most, mostBytes, mostNames, fileData })
    pipe.say({ type: 'done', ok: ok === true, dropped: output.dropped, ...changed })
  } catch (error) {
    end(reasonOf(error))
  }
}

function addFiles(disk: VirtualDisk, files: RunMessage['files']): void {
  if (files.length === 0) return
  try {
    disk.add(files)
  } catch {
    end('the given files could not be put into it')
  }
}

/** Tells why, and ends the process: what it holds can no longer be trusted or used. */
function end(reason: string): never {
  output.flush()
  pipe.say({ type: 'end', reason: reason.slice(0, 1000) })
  return exit(1)
}

function reasonOf(error: unknown): string {
  if (error instanceof RangeError) return 'the stack or the memory of the interpreter was exhausted'
  return `the interpreter crashed: ${error instanceof Error ? error.message : String(error)}`
}

/** The node may have given none. */
function readSnapshot(): Uint8Array | undefined {
  const bytes = new Uint8Array(fstatSync(descriptors.snapshot).size)
  for (let at = 0; at < bytes.byteLength; ) {
    const length = readSync(descriptors.snapshot, bytes, at, bytes.byteLength - at, at)
    if (length === 0) return undefined
    at += length
  }
  return bytes
}
