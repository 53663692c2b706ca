import { defineConfig } from 'vitest/config'

/** The tests of the packed packages, which `npm run packages` runs. */
export default defineConfig({
  test: {
    include: ['__test__/packages/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 300_000,
  },
})
