import { type Channel, coreOf } from '../channel/channel.js'
import type { ChannelCore } from '../channel/core.js'
import { connect } from '../open/connect.js'
import { MAX_MESSAGE_FDS } from '../util/descriptor.js'
import { FdwireError } from '../util/errors.js'
import { withLimits } from '../util/wait.js'

/** A socket that is connected to one of systemd's, and the number of calls that use it. */
interface SharedSocket {
  readonly channel: Promise<Channel<Buffer>>
  calls: number
}

/**
 * The sockets in use, by address. Calls that overlap share one, so that their datagrams arrive in
 * the order of the calls.
 */
const sockets = new Map<string, SharedSocket>()

/** The default of the option `timeout` (ms). */
export const TIMEOUT = 10_000

/**
 * Returns the address of a socket as fdwire has it: `@` begins an abstract name. `what` is its name
 * in error messages.
 *
 * # Errors
 * ERR_FDWIRE_BAD_ADDRESS.
 */
export function decodeAddress(text: string, what: string): string {
  if (text.startsWith('/')) return text
  if (text.startsWith('@') && text.length > 1) return `\0${text.slice(1)}`
  throw new FdwireError(
    'ERR_FDWIRE_BAD_ADDRESS',
    `${what} must be an absolute path, or @ and an abstract name, not '${text}'`,
  )
}

/**
 * Sends to the datagram socket at an address, by `send`. Waits until the kernel has taken what it
 * sends, at most `timeout` (ms, 0: no limit).
 *
 * # Errors
 * ENOENT, ECONNREFUSED, EACCES …; those of `send`; ERR_FDWIRE_TIMEOUT.
 */
export async function withSocket(
  address: string,
  timeout: number,
  send: (core: ChannelCore) => Promise<void>,
): Promise<void> {
  const socket = sockets.get(address) ?? openSocket(address)
  socket.calls++
  try {
    const sent = socket.channel.then(channel => send(coreOf(channel)))
    const late = `${JSON.stringify(address.replace('\0', '@'))} did not take the message`
    await withLimits(sent, { timeout }, { late })
  } finally {
    socket.calls--
    if (socket.calls === 0) closeSocket(address, socket)
  }
}

function openSocket(address: string): SharedSocket {
  const channel = connect(address, {
    protocol: 'raw',
    type: 'dgram',
    // Without a name, no process can send to it.
    localAddress: null,
    maxFds: MAX_MESSAGE_FDS,
    // Each call has its own limit.
    sendTimeout: 0,
  })
  const socket = { channel, calls: 0 }
  sockets.set(address, socket)
  return socket
}

function closeSocket(address: string, socket: SharedSocket): void {
  sockets.delete(address)
  socket.channel.then(
    channel => channel.destroy(),
    () => {},
  )
}
