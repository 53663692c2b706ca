/** The fields and ids of the messages of socket_protocol. */

import { describeValue } from '../util/checks.js'

/** The two forms of a body: JSON alone, or three binary numbers followed by JSON. */
export type Form = 'pure_json' | 'struct_json'

/** The status of success. */
export const STATUS_OKAY = 0

/** The fields of a message, under their names on the wire. */
export interface MessageFields {
  /** The result: one of the `STATUS_…` constants, or a number of your own. */
  status?: number | undefined
  /** The id of the service. */
  service_id?: number | undefined
  /** The id of the data within the service. */
  data_id?: number | undefined
  /** Any JSON value. */
  data?: unknown
}

/** The numbers of a message. */
export interface Ids {
  /** The result. */
  status: number
  /** The id of the service. */
  service_id: number
  /** The id of the data within the service. */
  data_id: number
}

/** A complete message. */
export interface Fields extends Ids {
  data: unknown
}

/** The largest id or status. */
const MAX_ID = 0xffff_ffff

/** Whether a value is a valid id or status: an unsigned integer of 32 bits. */
export function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ID
}

/**
 * Checks an id or a status.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkId(name: string, value: unknown): number {
  if (isId(value)) return value
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be a number, not ${describeValue(value)}`)
  }
  throw new RangeError(`${name} must be an integer from 0 to ${MAX_ID}, not ${value}`)
}
