// @ts-check
/** HTTP connections for worker processes, each with one request, compared with `node:cluster`. */

import { run } from './scenario.mjs'

/**
 * The connections of a batch. Two workers have compiled their code only after some ten thousand, which
 * is what the warm-up sends.
 */
const COUNT = 16_000

/** @type {(workers: number, more: string) => import('./scenario.mjs').Scenario} */
const scenario = (workers, more) => ({
  title: `HTTP connections to ${workers} worker${more}`,
  group: 'dispatch',
  size: 64,
  fds: 0,
  work: 'http',
  runs: ['fdwire', 'cluster'].map(name => ({
    ...run(name, 'dispatch', 'stream', COUNT, `${name} ${workers}`),
    end: 'server',
  })),
  ratios: [{ of: 'fdwire', to: 'cluster', least: 2 }],
})

/** @type {import('./scenario.mjs').Scenario[]} */
export const dispatch = [scenario(1, ''), scenario(2, 's')]
