// The session's files: Pyodide's file system in memory, held to a size, and what of /mnt/data a call has changed. The bytes
// lie in JavaScript's memory, outside of what limits WebAssembly's.

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
  lookupPath(path: string): { node: FileNode }
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
  contents?: Uint8Array | Record<string, FileNode>
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
  data: string
  bytes: number
}

const dataFolder = '/mnt/data'
const noSpace = 51
const deepest = 16
/** Entries of /mnt/data that are looked at after a call. */
const mostEntries = 10_000

export class VirtualDisk {
  readonly #fs: FileSystem
  readonly #limit: number
  /** At least what the files hold; counted anew when it passes the limit, as deleting is not seen here. */
  #bytes = 0
  /** Of /mnt/data, when last looked at. */
  #seen = new Map<string, string>()

  constructor(fs: FileSystem, limit: number) {
    this.#fs = fs
    this.#limit = limit
    this.#bytes = this.#count()
    this.#limit += this.#bytes
    const { ops_table, stream_ops } = fs.filesystems.MEMFS
    const { write } = ops_table.file.stream
    const bounded: Write = (stream, buffer, offset, length, position, canOwn) => {
      this.#reserve(stream.node, position + length)
      return write(stream, buffer, offset, length, position, canOwn)
    }
    ops_table.file.stream.write = bounded
    // Memory maps write through this one.
    stream_ops.write = bounded
    const { setattr } = ops_table.file.node
    ops_table.file.node.setattr = (node, attributes) => {
      if (attributes.size !== undefined) this.#reserve(node, attributes.size)
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

  /** Files that were made or changed since the last look, as many as may travel, and the paths of the others. */
  changes(mostFiles: number, mostBytes: number): { files: ChangedFile[]; leftOut: string[] } {
    const now = this.#look()
    const changed = [...now].filter(([path, state]) => this.#seen.get(path) !== state)
    this.#seen = now
    const files: ChangedFile[] = []
    const leftOut: string[] = []
    let room = mostBytes
    for (const [path] of changed) {
      // Names that mean something else on another system would be refused on the way.
      if (path.length > 255 || /[\\\0]/.test(path)) {
        leftOut.push(path.slice(0, 255))
        continue
      }
      const { usedBytes = 0 } = this.#fs.lookupPath(`${dataFolder}/${path}`).node
      if (files.length === mostFiles || usedBytes > room) {
        leftOut.push(path)
        continue
      }
      room -= usedBytes
      const bytes = this.#fs.readFile(`${dataFolder}/${path}`)
      files.push({ path, bytes: usedBytes, data: Buffer.from(bytes).toString('base64') })
    }
    return { files, leftOut: leftOut.slice(0, 100) }
  }

  #reserve(node: FileNode, size: number): void {
    const held = node.contents instanceof Uint8Array ? node.contents.length : 0
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
      if (node.contents instanceof Uint8Array) bytes += node.contents.length
      else if (this.#fs.isDir(node.mode))
        waiting.push(...childrenOf(node).map(([, child]) => child))
    }
    return bytes
  }

  /** The files below /mnt/data with what tells a change. */
  #look(): Map<string, string> {
    const found = new Map<string, string>()
    let entries = 0
    const visit = (folder: FileNode, prefix: string, depth: number) => {
      for (const [name, node] of childrenOf(folder)) {
        if (++entries > mostEntries) return
        const path = prefix + name
        if (this.#fs.isDir(node.mode) && depth < deepest) visit(node, `${path}/`, depth + 1)
        else if (this.#fs.isFile(node.mode)) {
          found.set(path, `${node.id} ${node.mtime} ${node.usedBytes}`)
        }
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

function childrenOf({ contents }: FileNode): [string, FileNode][] {
  if (contents === undefined || contents instanceof Uint8Array) return []
  return Object.entries(contents)
}
