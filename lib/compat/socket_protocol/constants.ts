/** The original's constants, under their names. */

/** Authentication: the request. */
export const SID_AUTH_REQUEST = 0
/** Authentication: the response. */
export const SID_AUTH_RESPONSE = 1
/** Exchange of channel names: the request. */
export const SID_CHANNEL_NAME_REQUEST = 8
/** Exchange of channel names: the response. */
export const SID_CHANNEL_NAME_RESPONSE = 9
/** Reading of data: the request. */
export const SID_READ_REQUEST = 10
/** Reading of data: the response. */
export const SID_READ_RESPONSE = 11
/** Writing of data: the request. */
export const SID_WRITE_REQUEST = 20
/** Writing of data: the response. */
export const SID_WRITE_RESPONSE = 21
/** Execution of a command: the request. */
export const SID_EXECUTE_REQUEST = 30
/** Execution of a command: the response. */
export const SID_EXECUTE_RESPONSE = 31

/** Authentication: the seed. */
export const DID_AUTH_SEED = 0
/** Authentication: the key, and its feedback. */
export const DID_AUTH_KEY = 1
/** Exchange of channel names: the name. */
export const DID_CHANNEL_NAME = 0

export { STATUS_OKAY } from '../../options/socket_protocol.js'

/** No callback took the request: it waits for `receive`. */
export const STATUS_BUFFERING_UNHANDLED_REQUEST = 1
/** The callback threw, or returned something else than a status and data. */
export const STATUS_CALLBACK_ERROR = 2
/** The connection isn't trusted, and the request needs that. */
export const STATUS_AUTH_REQUIRED = 3
/** The service has no such datum. */
export const STATUS_SERVICE_OR_DATA_UNKNOWN = 4
/** The checksum of the request is wrong. */
export const STATUS_CHECKSUM_ERROR = 5
/** The operation isn't permitted. */
export const STATUS_OPERATION_NOT_PERMITTED = 6

/** Nobody has proven anything. */
export const AUTH_STATE_UNTRUSTED_CONNECTION = 0
/** We have asked for a seed. */
export const AUTH_STATE_SEED_REQUESTED = 1
/** We have given a seed. */
export const AUTH_STATE_SEED_TRANSFERRED = 2
/** We have sent a key. */
export const AUTH_STATE_KEY_TRANSFERRED = 3
/** The connection is trusted. */
export const AUTH_STATE_TRUSTED_CONNECTION = 4

/** A state of authentication. */
export type AuthState = 0 | 1 | 2 | 3 | 4
