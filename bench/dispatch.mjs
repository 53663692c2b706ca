// @ts-check
/** HTTP connections for worker processes, each with one request, compared with `node:cluster`. */

import { run } from './scenario.mjs'

/** @type {(workers: number, more: string) => import('./scenario.mjs').Scenario} */
const scenario = (workers, more) => ({
  title: `HTTP connections to ${workers} worker${more}`,
  group: 'dispatch',
  size: 64,
  fds: 0,
  work: 'http',
  runs: ['fdwire', 'cluster'].map(name => ({
    ...run(name, 'dispatch', 'stream', 4_000, `${name} ${workers}`),
    end: 'server',
  })),
  ratios: [{ of: 'fdwire', to: 'cluster', least: 2 }],
})

/** @type {import('./scenario.mjs').Scenario[]} */
export const dispatch = [scenario(1, ''), scenario(2, 's')]
