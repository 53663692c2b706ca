// @ts-check
/**
 * What is measured: for each scenario the contenders, and the ratios that the design's section 5
 * asks for. `path` is a socket that the receiver bound and the sender connected to (11 datagrams
 * queue there), `pair` an inherited socketpair (limited by the send buffer only).
 */

/**
 * @typedef {object} Run
 * @property {string} name
 * @property {string} program a file of `peers/`, or `floor`
 * @property {'path' | 'pair'} topology
 * @property {number} count messages a batch: 100 to 200 ms on the machine of the first figures
 * @property {string} [how] for peers with more than one way
 *
 * @typedef {object} Ratio
 * @property {string} of name of a run
 * @property {string} to name of the run that it is divided by
 * @property {number} [least] of the rates
 * @property {number} [most] of the times at p50
 *
 * @typedef {object} Scenario
 * @property {string} title
 * @property {number} size bytes of a message
 * @property {number} fds descriptors beside it
 * @property {boolean} trips round trips, both processes on one core, instead of one way
 * @property {Run[]} runs
 * @property {Ratio[]} ratios
 */

/** @type {(name: string, program: string, topology: Run['topology'], count: number, how?: string) => Run} */
const run = (name, program, topology, count, how = '') => ({ name, program, topology, count, how })

/** @type {Scenario[]} */
export const scenarios = [
  {
    title: '64 B, one way',
    size: 64,
    fds: 0,
    trips: false,
    runs: [
      run('raw path', 'floor', 'path', 96_000),
      run('raw pair', 'floor', 'pair', 96_000),
      run('fdwire Buffer path', 'fdwire', 'path', 72_000, 'buffer'),
      run('fdwire Buffer pair', 'fdwire', 'pair', 72_000, 'buffer'),
      run('fdwire JSON path', 'fdwire', 'path', 48_000, 'json'),
      run('fdwire JSON pair', 'fdwire', 'pair', 48_000, 'json'),
      run('fdwire sendAll path', 'fdwire', 'path', 48_000, 'all'),
      run('fdwire sendAll pair', 'fdwire', 'pair', 48_000, 'all'),
      run('unix-dgram Buffer path', 'unix-dgram', 'path', 20_000),
      run('child_process JSON', 'child-process', 'pair', 24_000),
    ],
    ratios: [
      { of: 'fdwire Buffer path', to: 'raw path', least: 0.7 },
      { of: 'fdwire Buffer pair', to: 'raw pair', least: 0.7 },
      { of: 'fdwire Buffer path', to: 'unix-dgram Buffer path', least: 2.5 },
      { of: 'fdwire JSON path', to: 'raw path', least: 0.4 },
      { of: 'fdwire JSON pair', to: 'raw pair', least: 0.4 },
      { of: 'fdwire sendAll path', to: 'raw path' },
      { of: 'fdwire sendAll pair', to: 'raw pair' },
      { of: 'fdwire JSON path', to: 'child_process JSON' },
      { of: 'fdwire JSON pair', to: 'child_process JSON' },
      { of: 'unix-dgram Buffer path', to: 'raw path' },
      { of: 'child_process JSON', to: 'raw pair' },
    ],
  },
  passing(1, { raw: 48_000, fdwire: 36_000, usocket: 12_000, child: 1_200 }),
  passing(4, { raw: 36_000, fdwire: 24_000, usocket: 8_000, child: 300 }),
  {
    title: '64 B, round trip on one core',
    size: 64,
    fds: 0,
    trips: true,
    runs: [
      run('raw path', 'floor', 'path', 8_000),
      run('raw pair', 'floor', 'pair', 8_000),
      run('fdwire JSON path', 'fdwire', 'path', 4_000, 'json'),
      run('fdwire JSON pair', 'fdwire', 'pair', 4_000, 'json'),
      run('fdwire request path', 'fdwire', 'path', 4_000, 'request'),
      run('unix-dgram Buffer path', 'unix-dgram', 'path', 3_000),
      run('child_process JSON', 'child-process', 'pair', 3_000),
    ],
    ratios: [
      { of: 'fdwire JSON path', to: 'raw path', most: 2 },
      { of: 'fdwire JSON pair', to: 'raw pair', most: 2 },
      { of: 'fdwire request path', to: 'raw path' },
      { of: 'unix-dgram Buffer path', to: 'raw path' },
      { of: 'child_process JSON', to: 'raw pair' },
    ],
  },
  {
    title: '44 B + 1 fd, round trip on one core',
    size: 44,
    fds: 1,
    trips: true,
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

/**
 * @param {number} fds
 * @param {{ raw: number, fdwire: number, usocket: number, child: number }} count
 * @returns {Scenario}
 */
function passing(fds, count) {
  return {
    title: `44 B + ${fds} fd${fds > 1 ? 's' : ''}, one way`,
    size: 44,
    fds,
    trips: false,
    runs: [
      run('raw path', 'floor', 'path', count.raw),
      run('raw pair', 'floor', 'pair', count.raw),
      run('fdwire JSON path', 'fdwire', 'path', count.fdwire, 'json'),
      run('fdwire JSON pair', 'fdwire', 'pair', count.fdwire, 'json'),
      run('usocket JSON stream', 'usocket', 'path', count.usocket),
      run('child_process handle', 'child-process', 'pair', count.child),
    ],
    ratios: [
      { of: 'fdwire JSON path', to: 'raw path', least: 0.6 },
      { of: 'fdwire JSON pair', to: 'raw pair', least: 0.6 },
      { of: 'fdwire JSON path', to: 'usocket JSON stream', least: 2.7 },
      { of: 'fdwire JSON pair', to: 'usocket JSON stream', least: 2.7 },
      { of: 'fdwire JSON path', to: 'child_process handle', least: 35 },
      { of: 'fdwire JSON pair', to: 'child_process handle', least: 35 },
      { of: 'usocket JSON stream', to: 'raw pair' },
      { of: 'child_process handle', to: 'raw pair' },
    ],
  }
}
