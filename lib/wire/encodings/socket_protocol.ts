import * as addon from '#native'
import {
  checkId,
  type Fields,
  type Form,
  type Ids,
  isId,
  type MessageFields,
  STATUS_OKAY,
} from '../../options/socket_protocol.js'
import { parseJson } from '../../util/buffers.js'
import { describeValue } from '../../util/checks.js'
import { type ErrorCode, FdwireError } from '../../util/errors.js'

/**
 * Encodes a message that was passed to `send`: an object with its fields, or a `DataStorage`.
 *
 * # Errors
 * Those of `encodeBody`; a TypeError or RangeError for an invalid status or id.
 */
export function encodeMessage(form: Form, value: unknown): Buffer {
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(
      `A message is an object with service_id and data_id, not ${describeValue(value)}`,
    )
  }
  const fields = fieldsOf(value)
  const { status = STATUS_OKAY, service_id, data_id, data = null } = fields
  return encodeBody(form, {
    status: checkId('status', status),
    service_id: checkId('service_id', service_id),
    data_id: checkId('data_id', data_id),
    data,
  })
}

/** Returns the fields of a message. A `DataStorage` returns them from `toJSON`. */
function fieldsOf(value: object): MessageFields {
  return 'toJSON' in value && typeof value.toJSON === 'function' ? value.toJSON() : value
}

/**
 * Encodes the body of a message, whose ids must have been checked.
 *
 * # Errors
 * ERR_FDWIRE_UNENCODABLE for data that JSON cannot represent.
 */
export function encodeBody(form: Form, { status, service_id, data_id, data }: Fields): Buffer {
  const json = stringify(data)
  if (form === 'struct_json') return addon.encodeStructJson(status, service_id, data_id, json)
  const ids = `"data_id":${data_id},"service_id":${service_id},"status":${status}`
  return addon.encodePureJson(`{${ids},"data":${json}}`)
}

/**
 * Decodes a body to a message.
 *
 * # Errors
 * A {@link BodyError}, with the ids if they can be read.
 */
export function decodeBody(form: Form, bytes: Uint8Array): Fields {
  const body = addon.decodeSocketProtocol(form === 'struct_json', bytes)
  if (body === null) {
    throw new BodyError('ERR_FDWIRE_BAD_BODY', `The body is too short: ${bytes.length} bytes`)
  }
  const { json, checksumMatches } = body
  const header = body.status === undefined ? undefined : (idsOf(body) as Ids)
  if (!checksumMatches)
    throw new BodyError('ERR_FDWIRE_BAD_CHECKSUM', 'The checksum is wrong', header ?? guess(json))
  if (json === null || json === undefined) {
    throw new BodyError('ERR_FDWIRE_NOT_UTF8', 'The text of the body is not UTF-8', header)
  }
  const value = parse(json, header)
  if (header !== undefined) return { ...header, data: value }
  const ids = idsIn(value)
  if (ids === undefined) {
    throw new BodyError(
      'ERR_FDWIRE_BAD_BODY',
      'The body is not an object with status, service_id and data_id',
    )
  }
  const { data } = value as { data?: unknown }
  if (data === undefined) throw new BodyError('ERR_FDWIRE_BAD_BODY', 'The body has no data', ids)
  return { ...ids, data }
}

/** Encodes data as JSON. Throws for `undefined` and a function, which JSON cannot represent. */
function stringify(data: unknown): string {
  let json: string | undefined
  try {
    json = JSON.stringify(data)
  } catch (cause) {
    throw unencodable(cause)
  }
  if (json === undefined) throw unencodable()
  return json
}

function unencodable(cause?: unknown): FdwireError {
  const options = cause === undefined ? {} : { cause }
  return new FdwireError('ERR_FDWIRE_UNENCODABLE', 'JSON cannot carry the data', options)
}

/** Parses JSON. The error has no cause: the parser's own error shows text, which may be a key. */
function parse(json: string, ids: Ids | undefined): unknown {
  try {
    return parseJson(json)
  } catch {
    throw new BodyError('ERR_FDWIRE_NOT_JSON', 'The text of the body is not JSON', ids)
  }
}

/** Returns the ids of a body whose checksum is wrong, so they may be wrong too. */
function guess(json: string | null | undefined): Ids | undefined {
  try {
    return idsIn(parseJson(json as string))
  } catch {
    return undefined
  }
}

function idsIn(value: unknown): Ids | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { status, service_id, data_id } = value as Partial<Ids>
  return isId(status) && isId(service_id) && isId(data_id)
    ? { status, service_id, data_id }
    : undefined
}

function idsOf({ status, serviceId, dataId }: addon.SocketProtocolBody) {
  return { status, service_id: serviceId, data_id: dataId }
}

/** The error of a malformed body. It has no sample, since the data may be a key. */
export class BodyError extends FdwireError {
  /**
   * The status and ids of the body, if they can be read. If the checksum is wrong, they may be too.
   */
  declare readonly ids?: Ids

  /** Makes the error of a body. */
  constructor(code: ErrorCode, message: string, ids?: Ids) {
    super(code, message)
    if (ids !== undefined) this.ids = ids
  }
}
