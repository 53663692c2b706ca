import { defineConfig } from 'vitest/config'
import config from './vitest.config.js'

/** The tests with other programs, which `npm run test:peers` runs. */
export default defineConfig({
  test: { ...config.test, include: ['__test__/peers/**/*.test.ts'], exclude: [] },
})
