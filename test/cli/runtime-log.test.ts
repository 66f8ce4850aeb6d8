import { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import { copyRuntimeLog } from '../../native-node/cli/runtime-log.ts'

it('leaves out that a client has left, with its stack, and nothing else', async () => {
  const gone =
    'workerd/server/server.c++:6090: error: kj::getCaughtExceptionAsKj() = kj/async-io-unix.c++:186: disconnected: ::write(fd, buffer.begin(), buffer.size()): Connection reset by peer'
  const fault = 'workerd/server/server.c++:6090: error: kj/table.c++:44: failed: inserted twice'
  const told = ['{"level":"error"}', fault, 'stack: a@1', 'last']
  const text = `{"level":"error"}\n${gone}\nstack: a@5400a58 b@5401911\n${fault}\nstack: a@1\n${gone}\nlast`
  const written: string[] = []
  // In pieces that end within lines.
  await copyRuntimeLog(Readable.from(text.match(/[\s\S]{1,37}/g) ?? []), (line) =>
    written.push(line),
  )
  expect(written).toEqual(told)
})
