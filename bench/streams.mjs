// @ts-check
/**
 * Streams without descriptors. All contenders except child_process write the same bytes: each
 * message after its length in four bytes. `raw` uses buffers of the same size as fdwire.
 */

import { run } from './scenario.mjs'

/** @typedef {import('./scenario.mjs').Ratio} Ratio */

/** `sendAll` may not be slower than a loop of `send`, apart from noise. */
const NOT_SLOWER = 0.97

/**
 * @typedef {object} Size
 * @property {number} bytes of a message
 * @property {string} name
 * @property {{ raw: number, fdwire: number, json: number, usual: number, child?: number }} count
 *   messages in a batch: of the floor, of fdwire and `best JS` by encoding, of `usual JS`, and of
 *   child_process, which runs if this is given
 * @property {{ text: number, transient: number, kept: number, json: number, sendAll: number }} least
 *   targets, relative to `best JS`
 */

/** @param {Size} of @returns {import('./scenario.mjs').Scenario} */
const oneWay = ({ bytes, name, count, least }) => ({
  title: `${name} over a stream, one way`,
  group: 'streams',
  size: bytes,
  fds: 0,
  work: 'oneway',
  runs: [
    run('raw', 'floor', 'stream', count.raw),
    run('fdwire text', 'fdwire', 'stream', count.fdwire, 'text'),
    run('fdwire Buffer', 'fdwire', 'stream', count.fdwire, 'buffer'),
    run('fdwire JSON', 'fdwire', 'stream', count.json, 'json'),
    run('fdwire sendAll text', 'fdwire', 'stream', count.fdwire, 'sendAll text'),
    run('fdwire sendAll Buffer', 'fdwire', 'stream', count.fdwire, 'sendAll buffer'),
    run('fdwire sendAll JSON', 'fdwire', 'stream', count.json, 'sendAll json'),
    run('best JS text', 'best-js', 'stream', count.fdwire, 'text'),
    run('best JS Buffer', 'best-js', 'stream', count.fdwire, 'buffer'),
    run('best JS transient Buffer', 'best-js', 'stream', count.fdwire, 'transient buffer'),
    run('best JS JSON', 'best-js', 'stream', count.json, 'json'),
    run('usual JS text', 'usual-js', 'stream', count.usual, 'text'),
    run('usual JS Buffer', 'usual-js', 'stream', count.usual, 'buffer'),
    run('usual JS JSON', 'usual-js', 'stream', count.usual, 'json'),
    ...(count.child ? childProcess(count.child) : []),
  ],
  ratios: [
    { of: 'fdwire text', to: 'best JS text', least: least.text },
    { of: 'fdwire Buffer', to: 'best JS Buffer', least: least.kept },
    { of: 'fdwire Buffer', to: 'best JS transient Buffer', least: least.transient },
    { of: 'fdwire JSON', to: 'best JS JSON', least: least.json },
    { of: 'fdwire sendAll JSON', to: 'best JS JSON', least: least.sendAll },
    { of: 'fdwire sendAll text', to: 'fdwire text', least: NOT_SLOWER },
    { of: 'fdwire sendAll Buffer', to: 'fdwire Buffer', least: NOT_SLOWER },
    { of: 'fdwire sendAll JSON', to: 'fdwire JSON', least: NOT_SLOWER },
    { of: 'fdwire text', to: 'usual JS text' },
    { of: 'fdwire Buffer', to: 'usual JS Buffer' },
    { of: 'fdwire JSON', to: 'usual JS JSON' },
    ...(count.child ? CHILD_PROCESS : []),
    { of: 'fdwire text', to: 'raw' },
    { of: 'best JS text', to: 'raw' },
  ],
})

/** @param {number} count */
const childProcess = count => [
  run('child_process text', 'child-process', 'pair', count, 'text'),
  run('child_process Buffer', 'child-process', 'pair', count / 2, 'buffer'),
  run('child_process JSON', 'child-process', 'pair', count, 'json'),
]

/** @type {Ratio[]} */
const CHILD_PROCESS = [
  { of: 'fdwire text', to: 'child_process text', least: 20 },
  { of: 'fdwire Buffer', to: 'child_process Buffer', least: 20 },
  { of: 'fdwire JSON', to: 'child_process JSON', least: 4 },
]

/** @type {import('./scenario.mjs').Scenario[]} */
export const streams = [
  oneWay({
    bytes: 16,
    name: '16 B',
    count: { raw: 6_400_000, fdwire: 1_536_000, json: 512_000, usual: 64_000 },
    least: { text: 1, transient: 1, kept: 1, json: 1, sendAll: 1 },
  }),
  oneWay({
    bytes: 64,
    name: '64 B',
    count: { raw: 6_400_000, fdwire: 1_280_000, json: 384_000, usual: 64_000, child: 19_200 },
    least: { text: 1.5, transient: 1, kept: 1.7, json: 1.35, sendAll: 1.8 },
  }),
  oneWay({
    bytes: 1024,
    name: '1 KiB',
    count: { raw: 960_000, fdwire: 320_000, json: 64_000, usual: 48_000, child: 12_800 },
    least: { text: 1.8, transient: 1, kept: 1.7, json: 1.5, sendAll: 1.5 },
  }),
  oneWay({
    bytes: 65_536,
    name: '64 KiB',
    count: { raw: 12_800, fdwire: 6_400, json: 1_280, usual: 1_280 },
    least: { text: 1.8, transient: 1, kept: 1.4, json: 1, sendAll: 1 },
  }),
  {
    title: '64 B over a stream, round trip on one core',
    group: 'streams',
    size: 64,
    fds: 0,
    work: 'trips',
    runs: [
      run('raw', 'floor', 'stream', 8_000),
      run('fdwire JSON', 'fdwire', 'stream', 4_000, 'json'),
      run('fdwire request JSON', 'fdwire', 'stream', 4_000, 'request json'),
      run('best JS JSON', 'best-js', 'stream', 4_000, 'json'),
      run('usual JS JSON', 'usual-js', 'stream', 4_000, 'json'),
      run('child_process JSON', 'child-process', 'pair', 3_000, 'json'),
    ],
    ratios: [
      { of: 'fdwire JSON', to: 'raw', most: 2 },
      { of: 'fdwire JSON', to: 'best JS JSON', most: 1 },
      { of: 'fdwire JSON', to: 'usual JS JSON', most: 0.55 },
      { of: 'fdwire JSON', to: 'child_process JSON' },
      { of: 'fdwire request JSON', to: 'fdwire JSON' },
      { of: 'best JS JSON', to: 'raw' },
    ],
  },
]
