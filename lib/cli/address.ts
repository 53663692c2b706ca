import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Address, ListenFd, TcpAddress } from '../options/address.js'
import type { SocketType } from '../options/protocols.js'
import { UsageError } from './errors.js'

/** An address as the command line names it. */
export type AnyAddress = string | TcpAddress | ListenFd

/** Parses `PATH`, `@NAME` (abstract), `tcp:HOST:PORT` or `fd:N`. */
export function parseAddress(text: string): AnyAddress {
  if (text === '') throw new UsageError('ADDR must not be empty')
  if (text.startsWith('@')) return `\0${text.slice(1)}`
  const fd = /^fd:(\d+)$/.exec(text)
  if (fd) return { fd: Number(fd[1]) }
  if (!text.startsWith('tcp:')) return text
  const [, host, port] = /^tcp:(?!\/)(.+):(\d+)$/.exec(text) ?? []
  if (host === undefined) throw new UsageError(`'${text}' must be tcp:HOST:PORT`)
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
}

/** Parses the address of a Unix socket. */
export function parseUnixAddress(text: string): string {
  const address = parseAddress(text)
  if (typeof address === 'string') return address
  throw new UsageError(`'${text}' must be a path or @NAME`)
}

/** Returns an address as the command line takes it. */
export function formatAddress(address: Address | TcpAddress | null | undefined): string {
  if (address === null || address === undefined) return 'unnamed'
  if (typeof address === 'string') return address.replace(/^\0/, '@')
  if (address instanceof Uint8Array) return Buffer.from(address).toString('latin1')
  const { host, port } = address
  return `tcp:${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The types of sockets as /proc/net/unix numbers them. */
const TYPES: Readonly<Record<string, SocketType>> = {
  '0001': 'stream',
  '0002': 'dgram',
  '0005': 'seqpacket',
}

/** A row of /proc/net/unix. */
export interface UnixSocket {
  type: SocketType
  isListening: boolean
  isConnected: boolean
  inode: number
  /** The address, with `@` for the zero byte of an abstract name; undefined without one. */
  name: string | undefined
}

/** Returns the Unix sockets of this network namespace. */
export function unixSockets(): UnixSocket[] {
  const [, ...lines] = readFileSync('/proc/net/unix', 'utf8').trimEnd().split('\n')
  return lines.flatMap(line => {
    const fields = /^\S+ \S+ \S+ (\S+) (\S+) (\S+) +(\d+) ?(.*)$/.exec(line)
    const type = TYPES[fields?.[2] ?? '']
    if (fields === null || type === undefined) return []
    const [, flags = '', , state, inode, name] = fields
    return {
      type,
      // SO_ACCEPTCON, and SS_CONNECTED.
      isListening: (Number.parseInt(flags, 16) & 0x10000) !== 0,
      isConnected: state === '03',
      inode: Number(inode),
      name: name || undefined,
    }
  })
}

/** Returns the type of the socket that a process has bound to a Unix address; undefined if none. */
export function typeAt(address: string): SocketType | undefined {
  const names = [formatAddress(address), resolve(address)]
  const bound = unixSockets().filter(({ name }) => name !== undefined && names.includes(name))
  return (bound.find(({ isListening }) => isListening) ?? bound[0])?.type
}
