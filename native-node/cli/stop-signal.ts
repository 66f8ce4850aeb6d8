// What ends a command in order: SIGINT, SIGTERM, SIGHUP, the end of a parent that started it with an IPC channel, the end of
// the npm that runs it.
import { constants } from 'node:os'
import { watchNpm } from './npm-parent.ts'

/** Under nohup a closed terminal ends nothing; Node itself forgets at its start that the signal was ignored. */
const isNohup = process.env.SWITCHYARD_NOHUP === '1'
const signals: readonly ('SIGINT' | 'SIGTERM' | 'SIGHUP')[] = isNohup
  ? ['SIGINT', 'SIGTERM']
  : ['SIGINT', 'SIGTERM', 'SIGHUP']

/** A terminal's Ctrl-C reaches us and npm, which passes it on: what comes so soon after a signal is the same wish. */
const echoMilliseconds = 500

/**
 * To be called when the program starts. To the first process of a container a signal does nothing unless it listens: such a
 * one ends at once, as any other does, until there is something to end in order.
 */
export function heedSignals(): void {
  if (isNohup) process.on('SIGHUP', () => {})
  if (process.pid === 1) for (const signal of signals) process.on(signal, endAtOnce)
}

function endAtOnce(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal])
}

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
    for (const signal of signals) process.off(signal, endAtOnce).on(signal, stop)
    // The parent may have gone while a model was loaded; without a channel `connected` is undefined.
    if (process.connected === false) orphaned()
    else process.once('disconnect', orphaned)
  })
}
