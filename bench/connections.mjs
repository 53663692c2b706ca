// @ts-check
/**
 * Creating, using and closing connections, and the memory that an idle connection takes, compared
 * with `node:net`.
 *
 * `net` cannot create a socketpair. A program connects to a server in its own process instead.
 * fdwire runs both, so that one ratio compares the same work.
 */

import { run } from './scenario.mjs'

/** @type {(name: string, program: string, count: number, how?: string) => import('./scenario.mjs').Run} */
const both = (name, program, count, how) => run(name, program, 'stream', count, how)

/** @type {(end: 'client' | 'server', name: string, program: string, count: number) => import('./scenario.mjs').Run} */
const oneEnd = (end, name, program, count) => ({ ...run(name, program, 'stream', count), end })

/** @type {import('./scenario.mjs').Scenario[]} */
export const connections = [
  {
    title: 'Create and destroy a connected pair in one process',
    group: 'connections',
    size: 64,
    fds: 0,
    work: 'pairs',
    runs: [
      both('raw pair', 'floor', 20_000),
      both('fdwire pair', 'fdwire-connections', 4_000, 'pair'),
      both('fdwire own server', 'fdwire-connections', 2_500, 'server'),
      both('net own server', 'net-connections', 2_500, 'server'),
    ],
    ratios: [
      { of: 'fdwire pair', to: 'net own server', least: 1 },
      { of: 'fdwire own server', to: 'net own server', least: 1 },
      { of: 'fdwire pair', to: 'raw pair' },
    ],
  },
  {
    title: 'Connect and first reply on one core',
    group: 'connections',
    size: 64,
    fds: 0,
    work: 'connect',
    runs: [
      both('raw', 'floor', 8_000),
      both('fdwire', 'fdwire-connections', 4_000),
      both('net', 'net-connections', 4_000),
    ],
    ratios: [
      { of: 'fdwire', to: 'net', most: 1 },
      { of: 'fdwire', to: 'raw' },
      { of: 'net', to: 'raw' },
    ],
  },
  {
    title: 'Connect and close on one core',
    group: 'connections',
    size: 64,
    fds: 0,
    work: 'close',
    runs: [
      both('raw', 'floor', 8_000),
      both('fdwire destroy', 'fdwire-connections', 3_000, 'destroy'),
      both('fdwire close', 'fdwire-connections', 3_000, 'close'),
      both('net destroy', 'net-connections', 3_000, 'destroy'),
      both('net destroySoon', 'net-connections', 3_000, 'close'),
    ],
    ratios: [
      { of: 'fdwire destroy', to: 'net destroy', least: 1 },
      { of: 'fdwire close', to: 'net destroySoon', least: 1 },
      { of: 'fdwire destroy', to: 'raw' },
      { of: 'net destroy', to: 'raw' },
    ],
  },
  {
    title: 'Accept and first echo of 8,000 connections',
    group: 'connections',
    size: 64,
    fds: 0,
    work: 'accept',
    runs: [
      both('raw', 'floor', 8_000),
      oneEnd('server', 'fdwire', 'fdwire-connections', 8_000),
      oneEnd('server', 'net', 'net-connections', 8_000),
    ],
    ratios: [
      { of: 'fdwire', to: 'net', least: 2.2 },
      { of: 'fdwire', to: 'raw' },
      { of: 'net', to: 'raw' },
    ],
  },
  {
    // Of four batches of 2,500 connections, the memory that the last three add is measured.
    title: 'Memory of an idle connection, with 10,000 open',
    group: 'connections',
    size: 64,
    fds: 0,
    work: 'idle',
    runs: [
      oneEnd('server', 'fdwire server', 'fdwire-connections', 2_500),
      oneEnd('server', 'net server', 'net-connections', 2_500),
      oneEnd('client', 'fdwire client', 'fdwire-connections', 2_500),
      oneEnd('client', 'net client', 'net-connections', 2_500),
    ],
    ratios: [
      { of: 'fdwire server', to: 'net server', most: 0.7 },
      { of: 'fdwire client', to: 'net client', most: 0.7 },
    ],
  },
]
