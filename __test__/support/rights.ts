/** Descriptors beside messages, over every type of socket, with another process at the other end. */
import { closeSync, readdirSync } from 'node:fs'
import { adopt, type Channel, pair } from 'fdwire'
import { keep } from './channels.js'
import { beside, Peer } from './processes.js'

// biome-ignore lint/suspicious/noExplicitAny: any protocol and its options
type Options = any

/** How JSON goes with descriptors over each type of socket. */
export const TRANSPORTS: [string, Options][] = [
  ['dgram', { protocol: 'jsoncomm', type: 'dgram' }],
  ['seqpacket', { protocol: 'jsoncomm', type: 'seqpacket' }],
  ['stream', { protocol: 'length_prefixed', encoding: 'json', maxFds: 253 }],
]

/** The same sockets, for any bytes. */
export const rawOf = ({ type = 'stream' }: Options): Options => ({
  protocol: 'raw',
  type,
  maxFds: 253,
})

/** A pair whose ends have different options. */
export function ends(mine: Options, theirs: Options): [Channel, Channel] {
  const [a, b] = pair(rawOf(mine)) as [Channel, Channel]
  const as = (one: Channel, options: Options) => keep(adopt(one.detach(), options) as Channel)
  return [as(a, mine), as(b, theirs)]
}

/** A process with the other end of a channel as its descriptor 3. */
export function withPeer(
  options: Options,
  start: (stdio: (string | number)[]) => Peer,
): { channel: Channel; peer: Peer } {
  const [mine, theirs] = pair(options) as [Channel, Channel]
  // As it was before a channel had it: a seqpacket socket would tell credentials unasked.
  const fd = theirs.detach()
  const peer = start(['pipe', 'pipe', 'pipe', fd])
  closeSync(fd)
  return { channel: keep(mine), peer }
}

/** Python by nothing but its own socket, see `peers/rights.py`. */
export const pythonPeer = (type: string) => (stdio: (string | number)[]) =>
  new Peer('python3', ['-B', beside('support/peers/rights.py'), type], { stdio: stdio as [] })

/** Node with such a channel (`children/server.mjs`), and the most descriptors it may have. */
export const nodePeer =
  (options: Options, { limit = 0, setup = {} } = {}) =>
  (stdio: (string | number)[]) => {
    const ulimit = limit === 0 ? '' : `ulimit -n ${limit}; `
    const command = `${ulimit}exec "$0" "$@"`
    const told = JSON.stringify({ ...setup, options })
    const args = [process.execPath, beside('support/children/server.mjs'), told]
    return new Peer('bash', ['-c', command, ...args], { stdio: stdio as [] })
  }

/** How many descriptors a process has, as everybody sees it. */
export const openOf = (pid: number | undefined) => readdirSync(`/proc/${pid}/fd`).length

/**
 * A descriptor to send, and a promise that resolves when nobody has it any more: neither a process,
 * nor a message that is under way. Close yours with `close`.
 */
export function canary(): { fd: number; close(): void; gone: Promise<void> } {
  const [probe, sent] = pair({ protocol: 'raw' })
  keep(probe)
  const gone = probe.receive().then(message => {
    if (message !== null) throw new Error('somebody has written to a canary')
  })
  gone.catch(() => {})
  return { fd: sent.fd, close: () => sent.destroy(), gone }
}
