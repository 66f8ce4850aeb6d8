// `node scripts/with-runtime.mjs SCRIPT …`: bootstraps, then runs a script on the pinned Node.
import { spawn } from 'node:child_process'
import { delimiter, dirname, join } from 'node:path'
import { bootstrap, root, SetupError } from './bootstrap.mjs'

try {
  const runtime = await bootstrap()
  const path = [dirname(runtime), join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  const child = spawn(
    runtime,
    ['--disable-warning=ExperimentalWarning', ...process.argv.slice(2)],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, PATH: path },
    },
  )
  // What ends this process ends the script, and its end is ours.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`switchyard: ${error.message}\n`)
  process.exit(1)
}
