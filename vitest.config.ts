import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
    // These need the packed packages and other programs: see vitest.packages.config.ts and
    // vitest.peers.config.ts.
    exclude: ['__test__/packages/**', '__test__/peers/**'],
    // Each file runs in its own process, so that the setup file can compare its open descriptors.
    setupFiles: ['__test__/support/descriptors.ts'],
    pool: 'forks',
    execArgv: ['--expose-gc'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // `fdwire` is the built package: Node imports the files of dist/ unchanged.
    server: { deps: { external: [/\/dist\//] } },
  },
})
