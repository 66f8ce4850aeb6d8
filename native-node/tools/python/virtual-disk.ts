// The session's files: Pyodide's file system in memory, held to a size, and what of /mnt/data a call has changed. The bytes
// lie in JavaScript's memory, outside of what limits WebAssembly's.
import { mediaType } from './media-type.ts'
import type { StoredFile, WriteRefusal } from './messages.ts'

/** The parts of Emscripten's FS that are used here. */
export interface FileSystem {
  root: FileNode
  streams: (FileStream | null | undefined)[]
  filesystems: { MEMFS: MemoryFiles }
  ErrnoError: new (errno: number) => Error
  mkdirTree(path: string): void
  writeFile(path: string, data: Uint8Array | string): void
  readFile(path: string): Uint8Array
  unlink(path: string): void
  lookupPath(path: string, options?: { follow: boolean }): { node: FileNode }
  isDir(mode: number): boolean
  isFile(mode: number): boolean
}

interface FileNode {
  id: number
  name: string
  mode: number
  mtime: number
  usedBytes?: number
  /** Bytes of a file, nodes of a folder; something else in what is no file of MEMFS. */
  contents?: ArrayBufferView | Record<string, FileNode>
  mounted?: { root: FileNode } | null
}

interface FileStream {
  node?: FileNode
}

type Write = (
  stream: { node: FileNode },
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
  canOwn?: boolean,
) => number
type SetAttributes = (node: FileNode, attributes: { size?: number }) => void

interface MemoryFiles {
  ops_table: {
    file: { node: { setattr: SetAttributes }; stream: { write: Write } }
  }
  stream_ops: { write: Write }
}

export interface ChangedFile {
  path: string
  bytes: number
  /** Base64. */
  data?: string
}

export interface ChangesWanted {
  /** Files with their bytes, and all of these together. */
  most: number
  mostBytes: number
  /** Files that may be named where only images need bring their bytes. */
  mostNames: number
  fileData: 'images' | undefined
}

const dataFolder = '/mnt/data'
const noSpace = 51
const deepest = 16
/** Entries of /mnt/data that are looked at after a call. */
const mostEntries = 10_000
/** Of what a Date can be. */
const latest = 8.64e15
/** More files than these are not put in from outside. */
const mostFiles = 5000
/** Longer paths can be used by Python, and by nobody else. */
const longestPath = 1024
/** Of the paths in one list, as JSON has them at worst. */
const listBytes = 12 * 1024 * 1024

export class VirtualDisk {
  readonly #fs: FileSystem
  readonly #limit: number
  /** At least what the files hold; counted anew when it passes the limit, as deleting is not seen here. */
  #bytes = 0
  /** Of /mnt/data, when last looked at. */
  #seen = new Map<string, string>()
  /** Files that were put in from outside, as they were then. */
  readonly #given = new Map<string, string>()

  constructor(fs: FileSystem, limit: number) {
    this.#fs = fs
    this.#limit = limit
    this.#bytes = this.#count()
    this.#limit += this.#bytes
    const { ops_table, stream_ops } = fs.filesystems.MEMFS
    const { write } = ops_table.file.stream
    const bounded: Write = (stream, buffer, offset, length, position, canOwn) => {
      this.#reserve(heldBy(stream.node), position + length)
      return write(stream, buffer, offset, length, position, canOwn)
    }
    ops_table.file.stream.write = bounded
    // Memory maps write through this one.
    stream_ops.write = bounded
    const { setattr } = ops_table.file.node
    ops_table.file.node.setattr = (node, attributes) => {
      if (attributes.size !== undefined) this.#reserve(heldBy(node), attributes.size)
      setattr(node, attributes)
    }
  }

  /** Puts files into /mnt/data; they are no changes of the next call. Throws where there is no room. */
  add(files: readonly { path: string; data: string }[]): void {
    for (const { path, data } of files) {
      const whole = `${dataFolder}/${path}`
      this.#fs.mkdirTree(whole.slice(0, whole.lastIndexOf('/')))
      this.#fs.writeFile(whole, Buffer.from(data, 'base64'))
    }
    this.#seen = this.#look()
  }

  /** Every file below /mnt/data that has a path which others can use. */
  list(): StoredFile[] {
    const files: StoredFile[] = []
    let room = listBytes
    for (const [path, node] of this.#files()) {
      room -= path.length * 6 + 128
      if (room < 0) break
      if (path.length > longestPath) continue
      // Python may have set it to anything.
      const modified = Math.min(Math.max(0, Number(node.mtime)) || 0, latest)
      const given = this.#given.get(path) === stateOf(node)
      files.push({ path, bytes: node.usedBytes ?? 0, modified, given })
    }
    return files
  }

  /** Its bytes as they lie there; undefined where there is no such file. */
  read(path: string): Uint8Array | undefined {
    const node = this.#files().get(path)
    return node && bytesOf(node)
  }

  /** Puts a file in, whole or not at all; it is no change of the next call. Gives the reason why it was not. */
  write(path: string, bytes: Uint8Array): WriteRefusal {
    const files = this.#files()
    const before = files.get(path)
    if (before === undefined && files.size >= mostFiles) return 'number'
    try {
      this.#reserve(before === undefined ? 0 : heldBy(before), bytes.byteLength)
    } catch {
      return 'space'
    }
    const whole = `${dataFolder}/${path}`
    if (before === undefined && !this.#isFree(whole)) return 'place'
    try {
      this.#fs.mkdirTree(whole.slice(0, whole.lastIndexOf('/')))
      this.#fs.writeFile(whole, bytes)
      const state = stateOf(this.#fs.lookupPath(whole).node)
      this.#seen.set(path, state)
      this.#given.set(path, state)
      return null
    } catch (error) {
      if (error instanceof this.#fs.ErrnoError) return 'place'
      throw error
    }
  }

  /** False where there is no such file. */
  remove(path: string): boolean {
    if (!this.#files().has(path)) return false
    this.#fs.unlink(`${dataFolder}/${path}`)
    this.#seen.delete(path)
    this.#given.delete(path)
    return true
  }

  /** Nothing is there, and all that is on the way are folders: a link would lead elsewhere. */
  #isFree(path: string): boolean {
    for (let end = path.indexOf('/', 1); ; end = path.indexOf('/', end + 1)) {
      const step = end === -1 ? path : path.slice(0, end)
      let node: FileNode
      try {
        node = this.#fs.lookupPath(step, { follow: false }).node
      } catch {
        return true
      }
      if (end === -1 || !this.#fs.isDir(node.mode)) return false
    }
  }

  /**
   * Files that were made or changed since the last look, as many as may travel, and the paths of the others. A file that is
   * named can be fetched later; where nobody can, all bring their bytes.
   */
  changes(wanted: ChangesWanted): { files: ChangedFile[]; leftOut: string[] } {
    const now = this.#look()
    const changed = [...now].filter(([path, state]) => this.#seen.get(path) !== state)
    this.#seen = now
    const files: ChangedFile[] = []
    const leftOut: string[] = []
    let room = wanted.mostBytes
    let left = wanted.most
    const byName = wanted.fileData === 'images'
    const nodes = this.#files()
    for (const [path] of changed) {
      // Names that mean something else on another system would be refused on the way.
      if (path.length > 255 || /[\\\0]/.test(path)) {
        leftOut.push(path.slice(0, 255))
        continue
      }
      const node = nodes.get(path)
      if (node === undefined) continue
      const content = bytesOf(node)
      const bytes = content.byteLength
      const fits = left > 0 && bytes <= room
      if (fits && (!byName || mediaType(path).startsWith('image/'))) {
        left--
        room -= bytes
        files.push({ path, bytes, data: Buffer.from(content).toString('base64') })
      } else if (byName && files.length < wanted.mostNames) files.push({ path, bytes })
      else leftOut.push(path)
    }
    return { files, leftOut: leftOut.slice(0, 100) }
  }

  /** Makes room for a file that holds so many bytes now. */
  #reserve(held: number, size: number): void {
    if (size <= held) return
    // The file system grows large files by an eighth at once, and copies.
    const grown = Math.ceil(size * 1.125) - held
    if (this.#bytes + grown > this.#limit) this.#bytes = this.#count()
    if (this.#bytes + grown > this.#limit) throw new this.#fs.ErrnoError(noSpace)
    this.#bytes += grown
  }

  /** The bytes of all files, deleted ones too as long as they are open. */
  #count(): number {
    const counted = new Set<FileNode>()
    const waiting = [this.#fs.root, ...this.#fs.streams.flatMap((each) => each?.node ?? [])]
    let bytes = 0
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (counted.has(node)) continue
      counted.add(node)
      if (node.mounted) waiting.push(node.mounted.root)
      if (isBytes(node.contents)) bytes += node.contents.byteLength
      else if (this.#fs.isDir(node.mode))
        waiting.push(...childrenOf(node).map(([, child]) => child))
    }
    return bytes
  }

  /** The files below /mnt/data with what tells a change. */
  #look(): Map<string, string> {
    return new Map([...this.#files()].map(([path, node]) => [path, stateOf(node)]))
  }

  #files(): Map<string, FileNode> {
    const found = new Map<string, FileNode>()
    let entries = 0
    const visit = (folder: FileNode, prefix: string, depth: number) => {
      for (const [name, node] of childrenOf(folder)) {
        if (++entries > mostEntries) return
        const path = prefix + name
        if (this.#fs.isDir(node.mode) && depth < deepest) visit(node, `${path}/`, depth + 1)
        else if (this.#fs.isFile(node.mode)) found.set(path, node)
      }
    }
    try {
      visit(this.#fs.lookupPath(dataFolder).node, '', 0)
    } catch {
      // Python may have removed the folder.
    }
    return found
  }
}

/** What tells a change. */
function stateOf({ id, mtime, usedBytes }: FileNode): string {
  return `${id} ${mtime} ${usedBytes}`
}

/** What a file takes, which may be more than is written. */
function heldBy({ contents }: FileNode): number {
  return isBytes(contents) ? contents.byteLength : 0
}

/** Taken from the node itself: Python may have forbidden to open the file. */
function bytesOf({ contents, usedBytes = 0 }: FileNode): Uint8Array {
  if (!isBytes(contents)) return new Uint8Array()
  const length = Math.min(usedBytes, contents.byteLength)
  return new Uint8Array(contents.buffer, contents.byteOffset, length)
}

/** What Python writes in one piece lies there as signed bytes, a slice of its memory. */
function isBytes(contents: FileNode['contents']): contents is ArrayBufferView {
  return ArrayBuffer.isView(contents)
}

function childrenOf({ contents }: FileNode): [string, FileNode][] {
  if (contents === undefined || isBytes(contents)) return []
  return Object.entries(contents)
}
