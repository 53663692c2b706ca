// @ts-check
/**
 * Datagrams without descriptors, and a round trip with one. `path` is a socket that the receiver
 * has bound and the sender is connected to, with a backlog of 11 datagrams. `pair` is an inherited
 * socketpair, which is limited only by the send buffer.
 */

import { run } from './scenario.mjs'

/** @type {import('./scenario.mjs').Scenario[]} */
export const datagrams = [
  {
    title: '64 B, one way',
    group: 'datagrams',
    size: 64,
    fds: 0,
    work: 'oneway',
    runs: [
      run('raw path', 'floor', 'path', 96_000),
      run('raw pair', 'floor', 'pair', 96_000),
      run('fdwire Buffer path', 'fdwire', 'path', 72_000, 'buffer'),
      run('fdwire Buffer pair', 'fdwire', 'pair', 72_000, 'buffer'),
      run('fdwire JSON path', 'fdwire', 'path', 48_000, 'json'),
      run('fdwire JSON pair', 'fdwire', 'pair', 48_000, 'json'),
      run('fdwire sendAll JSON path', 'fdwire', 'path', 48_000, 'sendAll json'),
      run('fdwire sendAll JSON pair', 'fdwire', 'pair', 48_000, 'sendAll json'),
      run('unix-dgram Buffer path', 'unix-dgram', 'path', 20_000),
      run('child_process JSON', 'child-process', 'pair', 24_000),
    ],
    ratios: [
      { of: 'fdwire Buffer path', to: 'raw path', least: 0.7 },
      { of: 'fdwire Buffer pair', to: 'raw pair', least: 0.7 },
      { of: 'fdwire Buffer path', to: 'unix-dgram Buffer path', least: 2.5 },
      { of: 'fdwire JSON path', to: 'raw path', least: 0.4 },
      { of: 'fdwire JSON pair', to: 'raw pair', least: 0.4 },
      { of: 'fdwire sendAll JSON path', to: 'raw path' },
      { of: 'fdwire sendAll JSON pair', to: 'raw pair' },
      { of: 'fdwire JSON path', to: 'child_process JSON' },
      { of: 'fdwire JSON pair', to: 'child_process JSON' },
      { of: 'unix-dgram Buffer path', to: 'raw path' },
      { of: 'child_process JSON', to: 'raw pair' },
    ],
  },
  {
    title: '64 B, round trip on one core',
    group: 'datagrams',
    size: 64,
    fds: 0,
    work: 'trips',
    runs: [
      run('raw path', 'floor', 'path', 8_000),
      run('raw pair', 'floor', 'pair', 8_000),
      run('fdwire JSON path', 'fdwire', 'path', 4_000, 'json'),
      run('fdwire JSON pair', 'fdwire', 'pair', 4_000, 'json'),
      run('fdwire request JSON path', 'fdwire', 'path', 4_000, 'request json'),
      run('unix-dgram Buffer path', 'unix-dgram', 'path', 3_000),
      run('child_process JSON', 'child-process', 'pair', 3_000),
    ],
    ratios: [
      { of: 'fdwire JSON path', to: 'raw path', most: 2 },
      { of: 'fdwire JSON pair', to: 'raw pair', most: 2 },
      { of: 'fdwire request JSON path', to: 'raw path' },
      { of: 'unix-dgram Buffer path', to: 'raw path' },
      { of: 'child_process JSON', to: 'raw pair' },
    ],
  },
  {
    title: '44 B + 1 fd, round trip on one core',
    group: 'datagrams',
    size: 44,
    fds: 1,
    work: 'trips',
    runs: [
      run('raw path', 'floor', 'path', 6_000),
      run('fdwire JSON path', 'fdwire', 'path', 3_000, 'json'),
      run('child_process handle', 'child-process', 'pair', 400),
    ],
    ratios: [
      { of: 'fdwire JSON path', to: 'raw path' },
      { of: 'child_process handle', to: 'raw path' },
    ],
  },
]
