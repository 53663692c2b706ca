/**
 * The messages between a dispatcher and its workers, which docs/dispatch.md describes for workers in
 * any language.
 */

import type { Channel } from '../channel/channel.js'
import { coreOf } from '../channel/channel.js'
import { describeValue } from '../util/checks.js'

/** What belongs to a connection, besides its descriptor; null for nothing. */
export interface Details {
  /** The bytes that were read from it already, in base64. */
  head?: string
  meta?: unknown
}

/** To a worker: connections, whose descriptors have the same order. */
export interface Handover {
  connections: (Details | null)[]
}

/** From a worker. All numbers but the window are counted since the previous report. */
export interface Report {
  /** The most connections that may be in messages which the worker has not taken. */
  window?: number
  /** How many messages the worker has taken. */
  taken?: number
  /** How many of these it could not receive: it had no free descriptors. */
  refused?: number
  /** How many of its connections have ended. */
  closed?: number
}

/** Converts between messages and the values of a channel. */
export interface Wire {
  encode(message: Handover | Report): unknown
  /** Returns an object; undefined for a value that is no message of this protocol. */
  decode(value: unknown): Record<string, unknown> | undefined
}

/** A channel of either type of messages. */
// biome-ignore lint/suspicious/noExplicitAny: the values of a channel depend on its encoding
export type AnyChannel = Channel<any, any>

const WIRES: Readonly<Record<string, Wire>> = {
  json: { encode: message => message, decode: asObject },
  text: { encode: message => JSON.stringify(message), decode: parse },
  buffer: {
    encode: message => Buffer.from(JSON.stringify(message)),
    decode: value => parse(String(value)),
  },
}

/**
 * Returns how a channel carries the messages.
 *
 * # Errors
 * TypeError for a value that is not a channel, and for a channel that cannot carry JSON and
 * descriptors; ERR_FDWIRE_CLOSED.
 */
export function wireOf(call: string, channel: unknown): Wire {
  const core = tryCoreOf(channel)
  if (core === undefined)
    throw new TypeError(`${call} takes a channel, not ${describeValue(channel)}`)
  const { encoding, maxFds, protocol, type } = core.options
  const wire = typeof encoding === 'string' ? WIRES[encoding] : undefined
  const found = `${protocol} with the encoding ${encoding}`
  if (wire === undefined || (protocol === 'raw' && type === 'stream')) {
    throw new TypeError(`${call} takes a channel that carries JSON, text or Buffers, not ${found}`)
  }
  core.lifecycle.checkOpen(call)
  if (maxFds === 0 || (channel as AnyChannel).fd < 0) {
    throw new TypeError(
      `${call} takes a channel that carries descriptors: over a Unix socket, with maxFds (64)`,
    )
  }
  return wire
}

function tryCoreOf(channel: unknown) {
  try {
    return coreOf(channel as AnyChannel)
  } catch {
    return undefined
  }
}

function parse(value: unknown): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(value as string))
  } catch {
    return undefined
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)
    : undefined
}

/**
 * Checks that a value is JSON, or undefined.
 *
 * # Errors
 * TypeError.
 */
export function checkMeta(meta: unknown): void {
  if (meta !== undefined && JSON.stringify(meta) === undefined) {
    throw new TypeError(`meta must be a JSON value, not ${describeValue(meta)}`)
  }
}

/** Returns a property that is a count; 0 if it is not. */
export function countOf(message: Record<string, unknown>, name: string): number {
  const value = message[name]
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0
}
