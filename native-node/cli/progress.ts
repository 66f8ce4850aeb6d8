// A progress line on stderr for whatever takes longer than a second: redrawn in a terminal, a line every 10 % elsewhere.

export interface Progress {
  update(fraction: number): void
  done(): void
}

export function progressLine(label: string): Progress {
  const started = Date.now()
  let lastDrawn = 0
  let lastTenth = 0
  let drawn = false
  return {
    update(fraction) {
      const now = Date.now()
      if (now - started < 1000) return
      const percent = Math.floor(Math.min(1, Math.max(0, fraction)) * 100)
      if (process.stderr.isTTY) {
        if (now - lastDrawn < 100 && percent < 100) return
        lastDrawn = now
        drawn = true
        process.stderr.write(`\r${label} ${String(percent).padStart(3)} %`)
      } else if (Math.floor(percent / 10) > lastTenth) {
        lastTenth = Math.floor(percent / 10)
        process.stderr.write(`${label} ${percent} %\n`)
      }
    },
    done() {
      if (drawn)
        process.stderr.write(`\r${label} done (${((Date.now() - started) / 1000).toFixed(1)} s)\n`)
    },
  }
}
