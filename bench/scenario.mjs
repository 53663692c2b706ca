// @ts-check
/** The types of a scenario. */

/**
 * A contender of a scenario.
 * @typedef {object} Run
 * @property {string} name
 * @property {string} program a file of `peers/`, or `floor`
 * @property {'path' | 'pair' | 'seqpacket' | 'stream'} topology `path`: a datagram socket that the
 *   receiver has bound; `pair`, `seqpacket`: an inherited socketpair; `stream`: a connection to a
 *   path on which the receiver listens
 * @property {number} count messages or connections in a batch, of each thread: about 100 to 200 ms
 *   of work
 * @property {string} [how] what the program sends or does, if there are several: `text`, `buffer`,
 *   `json` and so on. The way to do that may precede it: `sendAll json`
 * @property {number} [threads] runs the program in so many worker threads of each process. Default:
 *   in the main thread
 * @property {'client' | 'server'} [end] the role of the program; the floor has the other one.
 *   Default: the program has both
 * @property {number} [size] bytes of a message. Default: the scenario's size
 * @property {number} [busyPoll] fdwire's option of this name (µs, 0)
 *
 * @typedef {object} Ratio
 * @property {string} of name of the run whose result is divided
 * @property {string} [to] name of the run that it is divided by. Default: the ratio is the peak
 *   memory of `of` divided by the size of its message
 * @property {number} [least] target for results where more is better
 * @property {number} [most] target for results where less is better
 *
 * What a batch does:
 * - `oneway`: messages from the sender to the receiver
 * - `trips`: round trips, one after the other, with both processes on one core or on one each
 * - `lone`: a single message between two new processes
 * - `pairs`: connected pairs that one process creates and destroys
 * - `connect`: connections, one after the other on one core, each with a message and its reply
 * - `close`: connections, one after the other on one core, each closed as soon as it is connected
 * - `accept`: connections that are open at once, each with a message and its reply
 * - `idle`: the same, and the connections stay open
 * - `http`: HTTP connections, 256 at once, each with one request; the server has worker processes
 * @typedef {'oneway' | 'trips' | 'lone' | 'pairs' | 'connect' | 'close' | 'accept' | 'idle' | 'http'} Work
 *
 * @typedef {object} Scenario
 * @property {string} title
 * @property {'datagrams' | 'descriptors' | 'streams' | 'latency' | 'many' | 'connections' | 'dispatch'} group
 * @property {number} size bytes of a message
 * @property {number} fds descriptors of each message
 * @property {number} [idle] further connections, on which no message is sent (0)
 * @property {1 | 2} [cores] for `trips`: the number of cores on which the two processes run (1)
 * @property {number} [delay] for `trips`: how long the receiver waits before it replies (ms, 0)
 * @property {Work} work
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
