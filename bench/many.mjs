// @ts-check
/** One busy connection among many idle ones, and connections in several threads. */

import { run } from './scenario.mjs'

/** @type {(name: string, program: string, threads: number) => import('./scenario.mjs').Run} */
const inThreads = (name, program, threads) => ({
  ...run(`${name} x ${threads}`, program, 'stream', 1_280_000 / threads, 'text'),
  threads,
})

/** @type {import('./scenario.mjs').Scenario[]} */
export const many = [
  {
    title: '64 B, one way, over one of 1,000 connections',
    group: 'many',
    size: 64,
    fds: 0,
    idle: 999,
    work: 'oneway',
    runs: [
      run('fdwire text', 'fdwire', 'stream', 1_280_000, 'text'),
      run('best JS text', 'best-js', 'stream', 1_280_000, 'text'),
      run('usual JS text', 'usual-js', 'stream', 64_000, 'text'),
    ],
    ratios: [
      { of: 'fdwire text', to: 'best JS text', least: 1.5 },
      { of: 'fdwire text', to: 'usual JS text' },
    ],
  },
  {
    title: '64 B, round trip on one core, over one of 1,000 connections',
    group: 'many',
    size: 64,
    fds: 0,
    idle: 999,
    work: 'trips',
    runs: [
      run('fdwire JSON', 'fdwire', 'stream', 4_000, 'json'),
      run('best JS JSON', 'best-js', 'stream', 4_000, 'json'),
      run('usual JS JSON', 'usual-js', 'stream', 4_000, 'json'),
    ],
    ratios: [
      { of: 'fdwire JSON', to: 'best JS JSON', most: 1 },
      { of: 'fdwire JSON', to: 'usual JS JSON', most: 1 },
    ],
  },
  {
    title: '64 B, one way, in worker threads with a connection each',
    group: 'many',
    size: 64,
    fds: 0,
    work: 'oneway',
    runs: [
      inThreads('fdwire text', 'fdwire', 1),
      inThreads('fdwire text', 'fdwire', 2),
      inThreads('best JS text', 'best-js', 1),
      inThreads('best JS text', 'best-js', 2),
    ],
    ratios: [
      { of: 'fdwire text x 1', to: 'best JS text x 1', least: 1.5 },
      { of: 'fdwire text x 2', to: 'best JS text x 2', least: 1.5 },
      { of: 'fdwire text x 2', to: 'fdwire text x 1' },
      { of: 'best JS text x 2', to: 'best JS text x 1' },
    ],
  },
]
