// What workerd writes to stderr. A client that leaves in the middle of an answer is nobody's fault and no news; workerd
// reports it as an error with a stack of addresses.
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

const clientGone =
  /^workerd\/server\/.*: disconnected: .*(?:Connection reset by peer|Broken pipe)\s*$/

/** Copies every line but the reports of clients that have left; resolves at the end of the stream, whatever ends it. */
export async function copyRuntimeLog(from: Readable, write: (line: string) => void): Promise<void> {
  let gone = false
  try {
    for await (const line of createInterface({ input: from })) {
      const isStackOfIt = gone && line.startsWith('stack:')
      gone = clientGone.test(line)
      if (!gone && !isStackOfIt) write(line)
    }
  } catch {
    // The runtime has ended.
  }
}
