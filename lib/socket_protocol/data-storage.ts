import { show } from '../checks.js'

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

/**
 * A message: status, service id, data id and data.
 *
 * Each getter takes what it shall give where the message lacks that (null). One that was received
 * lacks nothing.
 */
export class DataStorage {
  readonly #fields: MessageFields

  constructor(fields: MessageFields = {}) {
    const { status, service_id, data_id, data } = fields
    this.#fields = { status, service_id, data_id, data }
  }

  /** What came of it. */
  getStatus(): number | null
  getStatus<D>(orElse: D): number | D
  getStatus(orElse: unknown = null): unknown {
    return given(this.#fields.status, orElse)
  }

  /** The service. */
  getServiceId(): number | null
  getServiceId<D>(orElse: D): number | D
  getServiceId(orElse: unknown = null): unknown {
    return given(this.#fields.service_id, orElse)
  }

  /** The datum of the service. */
  getDataId(): number | null
  getDataId<D>(orElse: D): number | D
  getDataId(orElse: unknown = null): unknown {
    return given(this.#fields.data_id, orElse)
  }

  /** The data: null is data too. */
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives is any, and here too
  getData(orElse: unknown = null): any {
    return given(this.#fields.data, orElse)
  }

  /** The parts, for JSON.stringify and for whoever wants to see them. */
  toJSON(): MessageFields {
    return { ...this.#fields }
  }
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
    throw new TypeError(`${name} must be a number, not ${show(value)}`)
  }
  throw new RangeError(`${name} must be an integer from 0 to ${MAX_ID}, not ${value}`)
}

/** The largest id and status. */
const MAX_ID = 0xffff_ffff

function given(value: unknown, orElse: unknown): unknown {
  return value === undefined ? orElse : value
}
