import type { MessageFields } from '../../options/socket_protocol.js'
import { NO_OPTIONS } from '../../util/no-options.js'

/**
 * A message: status, service id, data id and data.
 *
 * Each getter takes the value to return for a missing field (null). A received message has all
 * fields.
 */
export class DataStorage {
  readonly #fields: MessageFields

  /** Makes a message. Fields may be missing. */
  constructor(fields: MessageFields = NO_OPTIONS) {
    const { status, service_id, data_id, data } = fields
    this.#fields = { status, service_id, data_id, data }
  }

  /** Returns the status: one of the constants `STATUS_…`, or an application's own. */
  getStatus(): number | null
  getStatus<D>(fallback: D): number | D
  getStatus(fallback: unknown = null): unknown {
    return valueOr(this.#fields.status, fallback)
  }

  /** Returns the service id. */
  getServiceId(): number | null
  getServiceId<D>(fallback: D): number | D
  getServiceId(fallback: unknown = null): unknown {
    return valueOr(this.#fields.service_id, fallback)
  }

  /** Returns the data id. */
  getDataId(): number | null
  getDataId<D>(fallback: D): number | D
  getDataId(fallback: unknown = null): unknown {
    return valueOr(this.#fields.data_id, fallback)
  }

  /** Returns the data, which may be null. */
  // biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
  getData(fallback: unknown = null): any {
    return valueOr(this.#fields.data, fallback)
  }

  /** Returns the fields, for JSON.stringify and for inspection. */
  toJSON(): MessageFields {
    return { ...this.#fields }
  }
}

function valueOr(value: unknown, fallback: unknown): unknown {
  return value === undefined ? fallback : value
}
