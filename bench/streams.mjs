// @ts-check
/**
 * Streams without descriptors. All contenders except child_process write the same bytes: each
 * message after its length in four bytes. `raw` uses buffers of the same size as fdwire.
 */

import { run } from './scenario.mjs'

/** @type {import('./scenario.mjs').Scenario[]} */
export const streams = [
  {
    title: '64 B over a stream, one way',
    group: 'streams',
    size: 64,
    fds: 0,
    work: 'oneway',
    runs: [
      run('raw', 'floor', 'stream', 6_400_000),
      run('fdwire text', 'fdwire', 'stream', 1_536_000, 'text'),
      run('fdwire Buffer', 'fdwire', 'stream', 1_280_000, 'buffer'),
      run('fdwire JSON', 'fdwire', 'stream', 384_000, 'json'),
      run('fdwire sendAll', 'fdwire', 'stream', 512_000, 'all'),
      run('best JS text', 'best-js', 'stream', 1_536_000, 'text'),
      run('best JS Buffer', 'best-js', 'stream', 1_280_000, 'buffer'),
      run('best JS JSON', 'best-js', 'stream', 384_000, 'json'),
      run('usual JS text', 'usual-js', 'stream', 96_000, 'text'),
      run('usual JS Buffer', 'usual-js', 'stream', 96_000, 'buffer'),
      run('usual JS JSON', 'usual-js', 'stream', 64_000, 'json'),
      run('child_process text', 'child-process', 'pair', 24_000, 'text'),
      run('child_process Buffer', 'child-process', 'pair', 12_800, 'buffer'),
      run('child_process JSON', 'child-process', 'pair', 24_000, 'json'),
    ],
    ratios: [
      { of: 'fdwire text', to: 'best JS text', least: 1.5 },
      { of: 'fdwire Buffer', to: 'best JS Buffer', least: 1.2 },
      { of: 'fdwire JSON', to: 'best JS JSON', least: 1.25 },
      { of: 'fdwire sendAll', to: 'best JS JSON', least: 1.7 },
      { of: 'fdwire text', to: 'child_process text', least: 20 },
      { of: 'fdwire Buffer', to: 'child_process Buffer', least: 20 },
      { of: 'fdwire JSON', to: 'child_process JSON', least: 4 },
      { of: 'fdwire text', to: 'usual JS text' },
      { of: 'fdwire Buffer', to: 'usual JS Buffer' },
      { of: 'fdwire JSON', to: 'usual JS JSON' },
      { of: 'fdwire text', to: 'raw' },
      { of: 'best JS text', to: 'raw' },
    ],
  },
  {
    title: '1 KiB over a stream, one way',
    group: 'streams',
    size: 1024,
    fds: 0,
    work: 'oneway',
    runs: [
      run('raw', 'floor', 'stream', 960_000),
      run('fdwire text', 'fdwire', 'stream', 384_000, 'text'),
      run('fdwire Buffer', 'fdwire', 'stream', 320_000, 'buffer'),
      run('fdwire JSON', 'fdwire', 'stream', 64_000, 'json'),
      run('fdwire sendAll', 'fdwire', 'stream', 64_000, 'all'),
      run('best JS text', 'best-js', 'stream', 384_000, 'text'),
      run('best JS Buffer', 'best-js', 'stream', 320_000, 'buffer'),
      run('best JS JSON', 'best-js', 'stream', 64_000, 'json'),
      run('usual JS text', 'usual-js', 'stream', 64_000, 'text'),
      run('usual JS Buffer', 'usual-js', 'stream', 64_000, 'buffer'),
      run('usual JS JSON', 'usual-js', 'stream', 32_000, 'json'),
    ],
    ratios: [
      { of: 'fdwire text', to: 'best JS text', least: 1.8 },
      { of: 'fdwire Buffer', to: 'best JS Buffer', least: 1.6 },
      { of: 'fdwire JSON', to: 'best JS JSON' },
      { of: 'fdwire sendAll', to: 'best JS JSON' },
      { of: 'fdwire sendAll', to: 'fdwire JSON' },
      { of: 'fdwire text', to: 'usual JS text' },
      { of: 'fdwire Buffer', to: 'usual JS Buffer' },
      { of: 'fdwire JSON', to: 'usual JS JSON' },
      { of: 'fdwire text', to: 'raw' },
      { of: 'best JS text', to: 'raw' },
    ],
  },
  {
    title: '64 KiB over a stream, one way',
    group: 'streams',
    size: 65_536,
    fds: 0,
    work: 'oneway',
    runs: [
      run('raw', 'floor', 'stream', 12_800),
      run('fdwire text', 'fdwire', 'stream', 6_400, 'text'),
      run('fdwire Buffer', 'fdwire', 'stream', 6_400, 'buffer'),
      run('best JS text', 'best-js', 'stream', 6_400, 'text'),
      run('best JS Buffer', 'best-js', 'stream', 6_400, 'buffer'),
      run('usual JS text', 'usual-js', 'stream', 2_560, 'text'),
      run('usual JS Buffer', 'usual-js', 'stream', 2_560, 'buffer'),
    ],
    ratios: [
      { of: 'fdwire text', to: 'best JS text', least: 1.8 },
      { of: 'fdwire Buffer', to: 'best JS Buffer', least: 1.8 },
      { of: 'fdwire text', to: 'usual JS text' },
      { of: 'fdwire Buffer', to: 'usual JS Buffer' },
      { of: 'fdwire text', to: 'raw' },
      { of: 'best JS text', to: 'raw' },
    ],
  },
  {
    title: '64 B over a stream, round trip on one core',
    group: 'streams',
    size: 64,
    fds: 0,
    work: 'trips',
    runs: [
      run('raw', 'floor', 'stream', 8_000),
      run('fdwire JSON', 'fdwire', 'stream', 4_000, 'json'),
      run('best JS JSON', 'best-js', 'stream', 4_000, 'json'),
    ],
    ratios: [
      { of: 'fdwire JSON', to: 'raw', most: 2 },
      { of: 'best JS JSON', to: 'raw' },
      { of: 'fdwire JSON', to: 'best JS JSON' },
    ],
  },
  lone(),
]

/** @returns {import('./scenario.mjs').Scenario} */
function lone() {
  /** @type {(name: string, program: string, how: string, size: number) => import('./scenario.mjs').Run} */
  const one = (name, program, how, size) => ({
    ...run(`${name} ${size} MiB`, program, 'stream', 1, how),
    size: size * 2 ** 20,
  })
  const sizes = [1, 4, 16, 64]
  return {
    title: 'A lone message over a stream',
    group: 'streams',
    size: 0,
    fds: 0,
    work: 'lone',
    runs: [
      ...sizes.map(size => one('fdwire text', 'fdwire', 'text', size)),
      ...sizes.map(size => one('fdwire Buffer', 'fdwire', 'buffer', size)),
      one('best JS text', 'best-js', 'text', 64),
      one('best JS Buffer', 'best-js', 'buffer', 64),
    ],
    ratios: [
      { of: 'fdwire text 64 MiB', most: 2.2 },
      { of: 'fdwire Buffer 64 MiB', most: 2.2 },
      // Page faults and cache misses may double the time per byte. A quadratic cost would multiply
      // it by at least four.
      { of: 'fdwire text 64 MiB', to: 'fdwire text 16 MiB', most: 2 },
      { of: 'fdwire Buffer 64 MiB', to: 'fdwire Buffer 16 MiB', most: 2 },
      { of: 'fdwire text 64 MiB', to: 'best JS text 64 MiB' },
      { of: 'fdwire Buffer 64 MiB', to: 'best JS Buffer 64 MiB' },
    ],
  }
}
