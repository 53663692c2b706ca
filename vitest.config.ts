import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
    // Descriptors are counted, in a process of its own for each file.
    setupFiles: ['__test__/support/descriptors.ts'],
    pool: 'forks',
    execArgv: ['--expose-gc'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // What is tested is what is published: `fdwire` is this package, built.
    server: { deps: { external: [/\/dist\//] } },
  },
})
