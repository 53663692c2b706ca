/** One side of the traffic over all kinds of sockets, as a server or as a client. */
import { connectTo, inheritedPair, KINDS, serveAll } from './kinds.mjs'
import { Link } from './link.mjs'

/** Addresses of dead clients that are remembered. */
const REMEMBERED = 16

/**
 * Opens servers of all kinds. `onLink` gets the traffic with each client: of a datagram socket when the
 * first message of an address comes.
 */
export async function serveLinks(folder, onLink, { more, ...link } = {}) {
  const byAddress = new Map()
  const gone = []
  const settings = () => ({ fd: link.fd?.(), inode: link.inode })
  let bound

  const onChannel = (kind, channel) => {
    if (kind !== 'dgram') return onLink(new Link(kind, channel, settings()).attach())
    bound = channel
    channel
      .on('message', (value, fds, from) => linkWith(from).receive(value, fds))
      .on('malformed', error => {
        throw error
      })
      .on('undelivered', (error, { to }) => byAddress.get(to)?.fail(error))
      .on('drain', to => byAddress.get(to)?.drained())
  }

  function linkWith(from) {
    const known = byAddress.get(from)
    if (known !== undefined) return known
    const made = new Link('dgram', bound, { ...settings(), to: from })
    byAddress.set(from, made)
    onLink(made)
    return made
  }

  const servers = await serveAll(folder, onChannel, more)
  return {
    ...servers,
    bound,
    /** Forgets the traffic with an address whose socket is closed: later, since it may have sent more. */
    forget({ to }) {
      gone.push(to)
      if (gone.length > REMEMBERED) byAddress.delete(gone.shift())
    },
  }
}

/** Opens a client of each kind at these addresses; `pairFd` is an inherited descriptor. */
export async function connectLinks(addresses, { pairFd, pair, more, fd, inode } = {}) {
  const links = []
  const ownPair = () => pair ?? (pairFd === undefined ? undefined : inheritedPair(pairFd, more))
  const connected = kind =>
    addresses[kind] === undefined ? undefined : connectTo(kind, addresses[kind], more)
  for (const kind of KINDS) {
    const channel = kind === 'pair' ? ownPair() : await connected(kind)
    if (channel !== undefined) links.push(new Link(kind, channel, { fd, inode }).attach())
  }
  return links
}
