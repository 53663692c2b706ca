// @ts-check
/** What a scenario is made of. */

/**
 * @typedef {object} Run
 * @property {string} name
 * @property {string} program a file of `peers/`, or `floor`
 * @property {'path' | 'pair' | 'seqpacket' | 'stream'} topology a datagram socket that the receiver
 *   bound, an inherited pair of them or of seqpacket sockets, a stream to where the receiver listens
 * @property {number} count messages a batch: 100 to 200 ms on the machine of the first figures
 * @property {string} [how] for peers with more than one way
 * @property {number} [size] bytes of a message, where it is not the scenario's
 *
 * @typedef {object} Ratio
 * @property {string} of name of a run
 * @property {string} [to] name of the run that it is divided by; without it the peak counts itself
 * @property {number} [least] of the rates
 * @property {number} [most] of what is better the smaller it is
 *
 * @typedef {object} Scenario
 * @property {string} title
 * @property {number} size bytes of a message
 * @property {number} fds descriptors beside it
 * @property {'oneway' | 'trips' | 'accept' | 'idle' | 'lone'} work what a batch is: messages one way,
 *   round trips with both processes on one core, connections with an echo each, connections that
 *   stay open, a single message in new processes
 * @property {Run[]} runs
 * @property {Ratio[]} ratios
 */

/** @type {(name: string, program: string, topology: Run['topology'], count: number, how?: string) => Run} */
export const run = (name, program, topology, count, how = '') => ({
  name,
  program,
  topology,
  count,
  how,
})
