/** The kinds of sockets: how a server and a client of each are opened. */
import { adopt, bind, connect, listen, pair } from 'fdwire'

const JSON_STREAM = { protocol: 'length_prefixed', encoding: 'json' }
const DATAGRAMS = { protocol: 'jsoncomm', type: 'dgram', maxFds: 8 }

/** The kinds that have an address. A pair is inherited instead. */
const ADDRESSED = {
  stream: { ...JSON_STREAM, maxFds: 8 },
  tcp: JSON_STREAM,
  seqpacket: { protocol: 'jsoncomm', type: 'seqpacket', maxFds: 8 },
  dgram: DATAGRAMS,
}

export const KINDS = [...Object.keys(ADDRESSED), 'pair']

/** Returns whether messages of a kind can have descriptors. */
export const passesFds = kind => kind !== 'tcp'

/** Returns whether the peer's death is an event of the channel. */
export const hasEnd = kind => ['stream', 'tcp', 'seqpacket'].includes(kind)

/**
 * Opens a server of each kind in a folder. `onChannel(kind, channel)` gets each accepted connection and,
 * once, the bound datagram socket.
 */
export async function serveAll(folder, onChannel, more = {}) {
  const addresses = {}
  const servers = []
  for (const [kind, options] of Object.entries(ADDRESSED)) {
    const address = kind === 'tcp' ? { host: '127.0.0.1', port: 0 } : `${folder}/${kind}`
    const all = { ...options, ...optionsFor(kind, more) }
    if (kind === 'dgram') {
      const channel = await bind(address, all)
      onChannel(kind, channel)
      servers.push(channel)
      addresses[kind] = address
    } else {
      const listener = await listen(address, all)
      listener.on('connection', channel => onChannel(kind, channel))
      servers.push(listener)
      addresses[kind] = listener.address
    }
  }
  return { addresses, close: () => Promise.all(servers.map(server => server.close())) }
}

/** Opens a client of a kind. */
export const connectTo = (kind, address, more = {}) =>
  connect(address, { ...ADDRESSED[kind], ...optionsFor(kind, more) })

/** Adopts an inherited end of a pair. */
export const inheritedPair = (fd, more = {}) =>
  adopt(fd, { ...DATAGRAMS, ...optionsFor('pair', more) })

/** Returns one channel, and the descriptor for a child's `stdio`, which the caller closes. */
export function pairForChild(more = {}) {
  const [ours, theirs] = pair({ ...DATAGRAMS, ...optionsFor('pair', more) })
  return [ours, theirs.detach()]
}

/** `sendTimeout` exists for datagrams only. */
function optionsFor(kind, { sendTimeout, ...more }) {
  return hasEnd(kind) || sendTimeout === undefined ? more : { ...more, sendTimeout }
}
