/** How the events of a channel are printed. */
import type { Channel } from '../channel/channel.js'
import type { FdSet } from '../fds/fdset.js'
import type { Credentials, Peer } from '../options/types.js'
import type { From } from '../wire/message.js'
import { formatAddress } from './address.js'
import { describeFds, formatFd } from './descriptors.js'
import { describeError } from './errors.js'
import type { Printer } from './printer.js'
import { formatValue, valueForJson } from './values.js'

/** A received message with what is known about its sender. */
export interface Received {
  value: unknown
  fds: FdSet
  from?: From
  credentials?: Credentials | undefined
  /** The number of its connection; undefined on a socket with one peer or none. */
  connection?: number | undefined
}

/** Prints a message and its descriptors. The caller closes them. */
export function printMessage(printer: Printer, message: Received, event = 'message'): void {
  const { value, from, credentials, connection } = message
  const fds = describeFds(message.fds)
  const sender = [
    ...(from === undefined ? [] : [`from ${formatAddress(from)}`]),
    ...(credentials === undefined ? [] : [formatCredentials(credentials)]),
  ].join(', ')
  printer.print(
    {
      event,
      ...(connection !== undefined && { connection }),
      value: valueForJson(value),
      ...(from !== undefined && { from: from === null ? null : formatAddress(from) }),
      ...(credentials !== undefined && { credentials }),
      fds,
    },
    [
      ...(connection === undefined ? [] : [printer.style('dim', `#${connection}`)]),
      printer.style('green', '<'),
      formatValue(value),
      ...(sender === '' ? [] : [printer.style('dim', `(${sender})`)]),
    ].join(' '),
    ...fds.map((fd, index) => `  ${printer.style('cyan', formatFd(fd, index))}`),
  )
}

export function formatCredentials({ pid, uid, gid }: Credentials): string {
  return `pid ${pid}, uid ${uid}, gid ${gid}`
}

/** Prints the errors of a channel that are no failure of the command. */
export function printErrors(printer: Printer, channel: Channel, connection?: number): void {
  const report = (event: string, error: Error) => {
    const message = describeError(error)
    const number = connection === undefined ? '' : `#${connection} `
    const line = printer.style('yellow', `${number}${event}: ${message}`)
    printer.print({ event, ...(connection !== undefined && { connection }), message }, line)
  }
  channel.on('malformed', error => report('malformed', error))
  channel.on('undelivered', error => report('undelivered', error))
}

/** Prints an event of a connection, such as its beginning. */
export function printConnection(
  printer: Printer,
  event: 'connected' | 'ended',
  { peer }: Channel,
  connection?: number,
): void {
  const number = connection === undefined ? '' : `#${connection} `
  const known = event === 'ended' || peer === undefined ? undefined : peerFor(peer)
  printer.print(
    {
      event,
      ...(connection !== undefined && { connection }),
      ...(known !== undefined && { peer: known.json }),
    },
    printer.style('dim', `${number}${event}${known === undefined ? '' : `: ${known.text}`}`),
  )
}

function peerFor(peer: Peer): { json: object; text: string } {
  if (peer.host !== undefined) return { json: peer, text: formatAddress(peer) }
  const { pid, uid, gid } = peer
  return { json: { pid, uid, gid }, text: formatCredentials({ pid, uid, gid }) }
}
