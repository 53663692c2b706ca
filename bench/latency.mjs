// @ts-check
/**
 * Round trips with the option `busyPoll`. All contenders write the same bytes: each message after
 * its length in four bytes.
 */

import { run } from './scenario.mjs'

/** The window of the contenders that poll (µs). */
const WINDOW = 100

/** @type {(name: string, how: string, count: number, busyPoll?: number) => import('./scenario.mjs').Run} */
const fdwire = (name, how, count, busyPoll) => ({
  ...run(name, 'fdwire', 'stream', count, how),
  ...(busyPoll ? { busyPoll } : {}),
})

/** @type {(count: number) => import('./scenario.mjs').Run[]} */
const contenders = count => [
  fdwire('fdwire JSON', 'json', count),
  fdwire('fdwire JSON, busyPoll', 'json', count, WINDOW),
  fdwire('fdwire request', 'request json', count),
  fdwire('fdwire request, busyPoll', 'request json', count, WINDOW),
  run('best JS JSON', 'best-js', 'stream', count, 'json'),
]

/** @type {import('./scenario.mjs').Scenario[]} */
export const latency = [
  {
    title: '64 B over a stream, busy polling on one core',
    group: 'latency',
    size: 64,
    fds: 0,
    work: 'trips',
    runs: contenders(8_000),
    ratios: [
      { of: 'fdwire JSON', to: 'best JS JSON', most: 0.55 },
      { of: 'fdwire JSON, busyPoll', to: 'best JS JSON', most: 0.4 },
      { of: 'fdwire request, busyPoll', to: 'fdwire request' },
    ],
  },
  {
    title: '64 B over a stream, busy polling on two cores',
    group: 'latency',
    size: 64,
    fds: 0,
    work: 'trips',
    cores: 2,
    runs: contenders(4_000),
    ratios: [
      { of: 'fdwire JSON', to: 'best JS JSON', most: 1 },
      { of: 'fdwire JSON, busyPoll', to: 'best JS JSON', most: 0.15 },
      { of: 'fdwire request, busyPoll', to: 'fdwire request' },
    ],
  },
  {
    title: '64 B over a stream, replies after 2 ms on two cores',
    group: 'latency',
    size: 64,
    fds: 0,
    work: 'trips',
    cores: 2,
    delay: 2,
    // The CPU time is what counts here: what polling costs if it never pays.
    runs: [fdwire('fdwire JSON', 'json', 200), fdwire('fdwire JSON, busyPoll', 'json', 200, 1_000)],
    ratios: [{ of: 'fdwire JSON, busyPoll', to: 'fdwire JSON' }],
  },
]
