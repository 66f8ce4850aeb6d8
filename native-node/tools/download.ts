// A file of a container on its way to a client. Name and bytes are a stranger's: a browser is told to keep them and to make
// nothing of them, and no name can add a header.
import type { OutgoingFile } from './containers.ts'
import { mediaType } from './python/media-type.ts'
import type { ToolFile } from './tool.ts'

const pieceBytes = 64 * 1024
/** A client that has not read its file by then gets no more of it. */
const longestMs = 5 * 60_000

/** The answer with a file's bytes; without them, its headers. */
export function downloadOf({ path }: ToolFile, outgoing?: OutgoingFile): Response {
  const headers = {
    'content-type': mediaType(path),
    'content-disposition': dispositionOf(path.slice(path.lastIndexOf('/') + 1)),
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox",
    'cache-control': 'private, no-store',
  }
  return new Response(outgoing && bodyOf(outgoing), { headers })
}

/** https://www.rfc-editor.org/rfc/rfc6266: a plain name for old clients, the true one for all others. */
function dispositionOf(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9 ._-]/g, '_').slice(0, 255)
  const encoded = encodeURIComponent(name.replace(/\p{Surrogate}/gu, '\ufffd')).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}

function bodyOf({ bytes, release }: OutgoingFile): ReadableStream<Uint8Array> {
  let at = 0
  let ended = false
  let timer: NodeJS.Timeout | undefined
  const end = () => {
    if (ended) return
    ended = true
    clearTimeout(timer)
    release()
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        timer = setTimeout(() => {
          if (ended) return
          end()
          controller.error(new Error('The file was not read in time.'))
        }, longestMs).unref()
      },
      pull(controller) {
        if (at < bytes.byteLength) {
          controller.enqueue(bytes.subarray(at, at + pieceBytes))
          at += pieceBytes
        }
        if (at < bytes.byteLength) return
        end()
        controller.close()
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  )
}
