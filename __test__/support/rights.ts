/** Pairs for SCM_RIGHTS tests: every type of socket, within this process or with another one. */
import { closeSync, readdirSync } from 'node:fs'
import { adopt, type Channel, pair } from 'fdwire'
import { track } from './channels.js'
import { nodePeer, Peer, testPath } from './processes.js'

// biome-ignore lint/suspicious/noExplicitAny: any protocol and its options
type Options = any

/** Options of a JSON channel with descriptors, for each type of socket. */
export const TRANSPORTS: [string, Options][] = [
  ['dgram', { protocol: 'jsoncomm', type: 'dgram' }],
  ['seqpacket', { protocol: 'jsoncomm', type: 'seqpacket' }],
  ['stream', { protocol: 'length_prefixed', encoding: 'json', maxFds: 253 }],
]

/** Returns options for a raw channel over the same type of socket. */
export const rawOptions = ({ type = 'stream' }: Options): Options => ({
  protocol: 'raw',
  type,
  maxFds: 253,
})

/** Returns a connected pair whose two channels have different options. */
export function pairWithOptions(mine: Options, theirs: Options): [Channel, Channel] {
  const [a, b] = pair(rawOptions(mine)) as [Channel, Channel]
  const as = (one: Channel, options: Options) => track(adopt(one.detach(), options) as Channel)
  return [as(a, mine), as(b, theirs)]
}

/** Starts a process that inherits one half of a pair as descriptor 3; returns the other half. */
export function channelToPeer(
  options: Options,
  start: (stdio: (string | number)[]) => Peer,
): { channel: Channel; peer: Peer } {
  const [mine, theirs] = pair(options) as [Channel, Channel]
  // detach() restores the socket's options: a seqpacket socket would otherwise receive credentials.
  const fd = theirs.detach()
  const peer = start(['pipe', 'pipe', 'pipe', fd])
  closeSync(fd)
  return { channel: track(mine), peer }
}

/** Returns a function that starts a Python peer without fdwire, see `peers/rights.py`. */
export const pythonPeerStarter = (type: string) => (stdio: (string | number)[]) =>
  new Peer('python3', ['-B', testPath('support/peers/rights.py'), type], { stdio: stdio as [] })

/** Returns a function that starts a Node peer with such a channel, see `children/server.mjs`. */
export const nodePeerStarter =
  (options: Options, setup: object = {}) =>
  (stdio: (string | number)[]) =>
    nodePeer({ ...setup, options }, { stdio: stdio as [] })

/** Returns the number of descriptors in a process's table. */
export const countFdsOf = (pid: number | undefined) => readdirSync(`/proc/${pid}/fd`).length

/**
 * Returns a descriptor to send, and a promise that resolves when its last duplicate is closed, in
 * every process and in every message in flight. `close` closes the caller's own.
 */
export function canary(): { fd: number; close(): void; released: Promise<void> } {
  const [probe, sent] = pair({ protocol: 'raw' })
  track(probe)
  const released = probe.receive().then(message => {
    if (message !== null) throw new Error('A canary was written to')
  })
  released.catch(() => {})
  return { fd: sent.fd, close: () => sent.destroy(), released }
}
