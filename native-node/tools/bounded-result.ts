// What a tool brought, cut to what may travel: a result that is too large is no reason to lose the rest of it.
import type { HostedResult } from '../../src/tools/hosted.ts'
import { decodedBytes, hostedLimits } from '../../src/tools/hosted-wire.ts'
import type { ToolResult } from './tool.ts'

/** The result with its text, logs, files and sources within their limits; the model reads what was left out. */
export function boundedResult(result: ToolResult, session: string): HostedResult {
  const { logs, raised, files, sources } = result
  const kept = files && boundedFiles(files)
  const left = kept && kept.length < files.length ? fileNote(files.slice(kept.length)) : ''
  return {
    text: cutText(result.text, hostedLimits.textBytes - left.length) + left,
    isError: result.isError,
    session,
    ...(logs === undefined ? {} : { logs: cutText(logs, hostedLimits.textBytes) }),
    ...(raised === undefined ? {} : { raised }),
    ...(kept === undefined ? {} : { files: kept }),
    ...(sources === undefined ? {} : { sources: sources.slice(0, hostedLimits.sources) }),
  }
}

/** Files from the first one on, as many as fit. */
function boundedFiles<File extends { data?: string }>(files: readonly File[]): File[] {
  let bytes = 0
  let whole = 0
  const over = files.findIndex(({ data }, index) => {
    if (data !== undefined) whole++
    bytes += decodedBytes(data ?? '')
    const isMany = index >= hostedLimits.fileIds || whole > hostedLimits.files
    return isMany || bytes > hostedLimits.fileBytes
  })
  return over === -1 ? [...files] : files.slice(0, over)
}

function fileNote(files: readonly { path: string }[]): string {
  const names = files.slice(0, 10).map(({ path }) => path.slice(0, 100))
  const more = files.length > names.length ? ', …' : ''
  return `\n[Not returned, as files are limited to ${hostedLimits.files} and ${hostedLimits.fileBytes} bytes: ${names.join(', ')}${more}]`
}

/** The text as far as `limit` bytes of UTF-8 go, with a note where it was cut; never half a character. */
export function cutText(text: string, limit: number): string {
  // A UTF-16 unit is three bytes at most.
  if (text.length * 3 <= limit) return text
  const bytes = Buffer.byteLength(text)
  if (bytes <= limit) return text
  const note = `\n[The result was cut: it has ${bytes} bytes, and ${limit} are the limit.]`
  const room = new Uint8Array(Math.max(0, limit - Buffer.byteLength(note)))
  const { read } = new TextEncoder().encodeInto(text, room)
  return text.slice(0, read) + note
}
