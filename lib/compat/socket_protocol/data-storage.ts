import type { MessageFields } from '../../options/socket_protocol.js'

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

function given(value: unknown, orElse: unknown): unknown {
  return value === undefined ? orElse : value
}
