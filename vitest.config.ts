import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
    // Each file runs in a process of its own, in which its open descriptors can be counted.
    setupFiles: ['__test__/support/descriptors.ts'],
    pool: 'forks',
    execArgv: ['--expose-gc'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // `fdwire` is this package as it is published: the built files are imported unchanged.
    server: { deps: { external: [/\/dist\//] } },
  },
})
