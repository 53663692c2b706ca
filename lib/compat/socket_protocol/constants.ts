/** The constants of the original, under their original names. */

/** Authentication: request. */
export const SID_AUTH_REQUEST = 0
/** Authentication: response. */
export const SID_AUTH_RESPONSE = 1
/** Negotiation of the channel name: request. */
export const SID_CHANNEL_NAME_REQUEST = 8
/** Negotiation of the channel name: response. */
export const SID_CHANNEL_NAME_RESPONSE = 9
/** Reading data: request. */
export const SID_READ_REQUEST = 10
/** Reading data: response. */
export const SID_READ_RESPONSE = 11
/** Writing data: request. */
export const SID_WRITE_REQUEST = 20
/** Writing data: response. */
export const SID_WRITE_RESPONSE = 21
/** Executing a command: request. */
export const SID_EXECUTE_REQUEST = 30
/** Executing a command: response. */
export const SID_EXECUTE_RESPONSE = 31

/** Authentication: the seed. */
export const DID_AUTH_SEED = 0
/** Authentication: the key, and the feedback on it. */
export const DID_AUTH_KEY = 1
/** Negotiation of the channel name: the name. */
export const DID_CHANNEL_NAME = 0

export { STATUS_OKAY } from '../../options/socket_protocol.js'

/** There is no callback for the request, which is buffered for `receive`. */
export const STATUS_BUFFERING_UNHANDLED_REQUEST = 1
/** The callback has thrown, or has not returned a status and data. */
export const STATUS_CALLBACK_ERROR = 2
/** The request requires a trusted connection. */
export const STATUS_AUTH_REQUIRED = 3
/** The service does not have this data id. */
export const STATUS_SERVICE_OR_DATA_UNKNOWN = 4
/** The checksum of the request is wrong. */
export const STATUS_CHECKSUM_ERROR = 5
/** The operation is not permitted. */
export const STATUS_OPERATION_NOT_PERMITTED = 6

/** Neither side has proven itself. */
export const AUTH_STATE_UNTRUSTED_CONNECTION = 0
/** This side has requested a seed. */
export const AUTH_STATE_SEED_REQUESTED = 1
/** This side has sent a seed. */
export const AUTH_STATE_SEED_TRANSFERRED = 2
/** This side has sent a key. */
export const AUTH_STATE_KEY_TRANSFERRED = 3
/** The connection is trusted. */
export const AUTH_STATE_TRUSTED_CONNECTION = 4

/** A state of the authentication. */
export type AuthState = 0 | 1 | 2 | 3 | 4

/** The names of the states of the authentication, by state. */
export const AUTH_STATE__NAMES: Readonly<Record<AuthState, string>> = Object.freeze({
  [AUTH_STATE_UNTRUSTED_CONNECTION]: 'AUTH_STATE_UNTRUSTED_CONNECTION',
  [AUTH_STATE_SEED_REQUESTED]: 'AUTH_STATE_SEED_REQUESTED',
  [AUTH_STATE_SEED_TRANSFERRED]: 'AUTH_STATE_SEED_TRANSFERRED',
  [AUTH_STATE_KEY_TRANSFERRED]: 'AUTH_STATE_KEY_TRANSFERRED',
  [AUTH_STATE_TRUSTED_CONNECTION]: 'AUTH_STATE_TRUSTED_CONNECTION',
})
