import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Real workers and engines share two cores: more workers than cores only make timeouts.
    maxWorkers: 2,
    // Those that run beside each other in one file mostly wait.
    maxConcurrency: 12,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
