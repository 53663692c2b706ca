/**
 * Reports events on node:diagnostics_channel, and as lines on stderr with NODE_DEBUG=fdwire. Nothing
 * is computed without a subscriber.
 */

import { channel } from 'node:diagnostics_channel'
import { debuglog } from 'node:util'
import { printableAddress } from './errors.js'

/** The diagnostics channels. docs/diagnostics.md describes their messages. */
export const diagnostics = {
  /** A channel or a listener was made. */
  open: channel('fdwire:open'),
  /** A channel or a listener has closed. */
  close: channel('fdwire:close'),
  /** A listener has accepted a connection. */
  accept: channel('fdwire:accept'),
  /** A listener has closed a connection before delivering it. */
  drop: channel('fdwire:drop'),
  /** A limit was reached. */
  limit: channel('fdwire:limit'),
  /** A message could not be delivered to the program. */
  malformed: channel('fdwire:malformed'),
  /** A queued message could not be delivered to its destination. */
  undelivered: channel('fdwire:undelivered'),
} as const

/** The fields of all messages. No field contains a message of a program. */
interface Report {
  channel?: Endpoint
  listener?: Endpoint
  reason?: string
  limit?: string
  from?: unknown
  to?: unknown
  error?: unknown
}

/** What a log line says of a channel or a listener. */
interface Endpoint {
  protocol: string
  type: string
  fd: number
  address?: unknown
  localAddress?: unknown
  remoteAddress?: unknown
}

const log = debuglog('fdwire')
if (log.enabled) {
  for (const [name, diagnostic] of Object.entries(diagnostics)) {
    const verb = name === 'drop' ? 'refuse' : name
    diagnostic.subscribe(report => log('%s', `${verb} ${describe(report as Report)}`))
  }
}

function describe({ channel, listener, reason, limit, from, to, error }: Report): string {
  const parts: string[] = []
  if (listener !== undefined) parts.push(`listener ${endpointText(listener)}`)
  if (channel !== undefined) parts.push(`channel ${endpointText(channel)}`)
  if (reason !== undefined) parts.push(`reason: ${reason}`)
  if (limit !== undefined) parts.push(`limit: ${limit}`)
  if (from !== undefined) parts.push(`from ${addressText(from)}`)
  if (to !== undefined) parts.push(`to ${addressText(to)}`)
  if (error !== undefined) parts.push(`error: ${errorText(error)}`)
  return parts.join(', ')
}

function endpointText(endpoint: Endpoint): string {
  const { protocol, type, fd, address, localAddress, remoteAddress } = endpoint
  const own = address ?? localAddress
  const at = own === undefined || own === null ? '' : ` at ${addressText(own)}`
  const peer =
    remoteAddress === undefined || remoteAddress === null ? '' : ` -> ${addressText(remoteAddress)}`
  return `${protocol}/${type} fd ${fd}${at}${peer}`
}

/** Formats an address for people; `@` stands for the zero byte of an abstract name. */
export function addressText(address: unknown): string {
  if (address === null) return 'unnamed'
  if (typeof address === 'string' || address instanceof Uint8Array) return printableAddress(address)
  const { host, port } = address as { host: string; port: number }
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Names an error by its code. Its message may quote the message of a program. */
function errorText(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown }
  return String(code ?? name)
}
