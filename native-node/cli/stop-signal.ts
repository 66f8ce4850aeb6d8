// What ends a command in order: SIGINT, SIGTERM, SIGHUP, the end of a parent that started it with an IPC channel, the end of
// the npm that runs it.
import { watchNpm } from './npm-parent.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** A terminal's Ctrl-C reaches us and npm, which passes it on: what comes so soon after a signal is the same wish. */
const echoMilliseconds = 500

/**
 * Resolves with the first of them, in words; a second signal ends the process at once. To be called when there is something
 * to end in order: until then a signal does what it does to any process, also in the middle of loading a model.
 */
export function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    const stop = (why: string) => {
      // Whoever listens to the channel keeps it open, and an open channel would keep this process alive for ever.
      process.off('disconnect', orphaned)
      unwatch()
      const since = performance.now()
      const again = () => {
        if (performance.now() - since > echoMilliseconds) process.exit(130)
      }
      for (const signal of signals) process.off(signal, stop).on(signal, again)
      resolve(why)
    }
    const orphaned = () => stop('its launcher has ended')
    const unwatch = watchNpm(() => stop('npm has ended'))
    for (const signal of signals) process.on(signal, stop)
    // The parent may have gone while a model was loaded; without a channel `connected` is undefined.
    if (process.connected === false) orphaned()
    else process.once('disconnect', orphaned)
  })
}
