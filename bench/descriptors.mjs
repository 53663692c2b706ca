// @ts-check
/** Small messages with descriptors, over datagrams, seqpacket sockets and streams. */

import { run } from './scenario.mjs'

/** @type {import('./scenario.mjs').Scenario[]} */
export const descriptors = [
  messagesWith(1, { raw: 48_000, fdwire: 36_000, usocket: 12_000, child: 1_200 }),
  messagesWith(4, { raw: 36_000, fdwire: 24_000, usocket: 8_000, child: 300 }),
  messagesWith(16, { raw: 12_000, fdwire: 9_000, usocket: 4_000, child: 80 }),
]

/**
 * @param {number} fds
 * @param {{ raw: number, fdwire: number, usocket: number, child: number }} count
 * @returns {import('./scenario.mjs').Scenario}
 */
function messagesWith(fds, count) {
  const target = fds > 4 ? 0.6 : 0.75
  return {
    title: `44 B + ${fds} fd${fds > 1 ? 's' : ''}, one way`,
    group: 'descriptors',
    size: 44,
    fds,
    work: 'oneway',
    runs: [
      run('raw path', 'floor', 'path', count.raw),
      run('raw pair', 'floor', 'pair', count.raw),
      run('raw seqpacket', 'floor', 'seqpacket', count.raw),
      run('raw stream', 'floor', 'stream', count.raw),
      run('fdwire JSON path', 'fdwire', 'path', count.fdwire, 'json'),
      run('fdwire JSON pair', 'fdwire', 'pair', count.fdwire, 'json'),
      run('fdwire JSON seqpacket', 'fdwire', 'seqpacket', count.fdwire, 'json'),
      run('fdwire JSON stream', 'fdwire', 'stream', count.fdwire, 'json'),
      run('usocket JSON stream', 'usocket', 'path', count.usocket),
      run('child_process handle', 'child-process', 'pair', count.child),
    ],
    ratios: [
      { of: 'fdwire JSON path', to: 'raw path', least: target },
      { of: 'fdwire JSON pair', to: 'raw pair', least: target },
      { of: 'fdwire JSON seqpacket', to: 'raw seqpacket', least: target },
      { of: 'fdwire JSON stream', to: 'raw stream', least: target },
      { of: 'fdwire JSON path', to: 'usocket JSON stream', least: 2.7 },
      { of: 'fdwire JSON pair', to: 'usocket JSON stream', least: 2.7 },
      { of: 'fdwire JSON seqpacket', to: 'usocket JSON stream', least: 2.7 },
      { of: 'fdwire JSON stream', to: 'usocket JSON stream', least: 2.7 },
      { of: 'fdwire JSON path', to: 'child_process handle', least: 35 },
      { of: 'fdwire JSON pair', to: 'child_process handle', least: 35 },
      { of: 'fdwire JSON seqpacket', to: 'child_process handle', least: 35 },
      { of: 'fdwire JSON stream', to: 'child_process handle', least: 35 },
      { of: 'usocket JSON stream', to: 'raw stream' },
      { of: 'child_process handle', to: 'raw pair' },
    ],
  }
}
