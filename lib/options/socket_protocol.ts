/** The messages of socket_protocol: their fields and ids. */

import { describeValue } from '../util/checks.js'

/** The two forms of a body: all in JSON, or the numbers as twelve bytes before it. */
export type Form = 'pure_json' | 'struct_json'

/** All is well. */
export const STATUS_OKAY = 0

/** What a message is made of, under the names that it has on the wire. */
export interface MessageFields {
  /** What came of it: one of `STATUS_…`, or your own. */
  status?: number | undefined
  /** The service. */
  service_id?: number | undefined
  /** The datum of the service. */
  data_id?: number | undefined
  /** Whatever JSON has. */
  data?: unknown
}

/** The numbers of a message, all of them. */
export interface Ids {
  status: number
  service_id: number
  data_id: number
}

/** A message that lacks nothing. */
export interface Fields extends Ids {
  data: unknown
}

/** Whether a value is an id or a status: 32 bits without a sign. */
export function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ID
}

/** Checks an id or a status. */
export function checkId(name: string, value: unknown): number {
  if (isId(value)) return value
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be a number, not ${describeValue(value)}`)
  }
  throw new RangeError(`${name} must be an integer from 0 to ${MAX_ID}, not ${value}`)
}

/** The largest id and status. */
const MAX_ID = 0xffff_ffff
