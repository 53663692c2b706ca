// @ts-check
/** Many connections to one server. The client is the floor, whoever serves. */

import { run } from './scenario.mjs'

/** @type {import('./scenario.mjs').Scenario[]} */
export const connections = [
  {
    title: 'Accept and first echo of 8,000 connections',
    size: 64,
    fds: 0,
    work: 'accept',
    runs: [
      run('raw', 'floor', 'stream', 8_000),
      run('fdwire', 'fdwire-server', 'stream', 8_000),
      run('net', 'net-server', 'stream', 8_000),
    ],
    ratios: [
      { of: 'fdwire', to: 'net', least: 3 },
      { of: 'fdwire', to: 'raw' },
      { of: 'net', to: 'raw' },
    ],
  },
  {
    // Four batches of these; how much the last three have added counts.
    title: 'Memory of an idle connection, of 5,000',
    size: 64,
    fds: 0,
    work: 'idle',
    runs: [
      run('fdwire', 'fdwire-server', 'stream', 1_250),
      run('net', 'net-server', 'stream', 1_250),
    ],
    ratios: [{ of: 'fdwire', to: 'net', most: 0.5 }],
  },
]
