// SIGINT, SIGTERM, and the end of a parent that started this process with an IPC channel.

const signals = ['SIGINT', 'SIGTERM'] as const

/**
 * Resolves at the first of them; a second signal ends the process at once. To be called when there is something to end in
 * order: until then a signal does what it does to any process, also in the middle of loading a model.
 */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      // Whoever listens to the channel keeps it open, and an open channel would keep this process alive for ever.
      process.off('disconnect', stop)
      for (const signal of signals) process.off(signal, stop).on(signal, () => process.exit(130))
      resolve()
    }
    for (const signal of signals) process.on(signal, stop)
    // The parent may have gone while a model was loaded; without a channel `connected` is undefined.
    if (process.connected === false) stop()
    else process.once('disconnect', stop)
  })
}
