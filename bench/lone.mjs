// @ts-check
/**
 * A single large message over a stream, between two processes that have sent no message before: its
 * time and its memory.
 */

import { run } from './scenario.mjs'

/** @type {(name: string, program: string, how: string, size: number) => import('./scenario.mjs').Run} */
const one = (name, program, how, size) => ({
  ...run(`${name} ${size} MiB`, program, 'stream', 1, how),
  size: size * 2 ** 20,
})

/** @type {import('./scenario.mjs').Scenario[]} */
export const lone = [
  {
    title: 'A lone message over a stream',
    group: 'streams',
    size: 0,
    fds: 0,
    work: 'lone',
    runs: [
      ...[1, 16, 64].map(size => one('fdwire text', 'fdwire', 'text', size)),
      ...[1, 16, 64].map(size => one('fdwire Buffer', 'fdwire', 'buffer', size)),
      ...[1, 64].map(size => one('fdwire JSON', 'fdwire', 'json', size)),
      ...[1, 64].map(size => one('best JS text', 'best-js', 'text', size)),
      ...[1, 64].map(size => one('best JS Buffer', 'best-js', 'buffer', size)),
      ...[1, 64].map(size => one('best JS JSON', 'best-js', 'json', size)),
      // Its time is quadratic: 64 MiB would take minutes.
      one('usual JS text', 'usual-js', 'text', 1),
      one('usual JS Buffer', 'usual-js', 'buffer', 1),
    ],
    ratios: [
      { of: 'fdwire text 64 MiB', most: 2.2 },
      { of: 'fdwire Buffer 64 MiB', most: 2.2 },
      // Page faults and cache misses may double the time per byte. A quadratic cost would multiply
      // it by at least four.
      { of: 'fdwire text 64 MiB', to: 'fdwire text 16 MiB', most: 2 },
      { of: 'fdwire Buffer 64 MiB', to: 'fdwire Buffer 16 MiB', most: 2 },
      ...['text', 'Buffer', 'JSON'].flatMap(kind =>
        [1, 64].map(size => ({
          of: `fdwire ${kind} ${size} MiB`,
          to: `best JS ${kind} ${size} MiB`,
        })),
      ),
    ],
  },
]
