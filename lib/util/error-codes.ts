/** The party at fault for an error: the peer, the calling program, or the system between them. */
export type Fault = 'peer' | 'caller' | 'system'

/**
 * Every code that an `FdwireError` can carry, with its meaning and its usual fault.
 *
 * The list is closed: a new code requires a new minor version. It does not contain kernel errors,
 * which have the shape and the codes of Node's own (`ECONNREFUSED`).
 */
export const ERROR_CODES = {
  ERR_FDWIRE_CLOSED: {
    fault: 'caller',
    meaning: 'The channel, listener or codec is closed, or was closed while the call waited.',
  },
  ERR_FDWIRE_PEER_CLOSED: {
    fault: 'peer',
    meaning: 'The peer has closed the connection, which ended the call or makes it impossible.',
  },
  ERR_FDWIRE_REPLY_LOST: {
    fault: 'peer',
    meaning: 'The reply to an abandoned request did not arrive within `replyTimeout`.',
  },
  ERR_FDWIRE_TIMEOUT: {
    fault: 'system',
    meaning: 'The operation took longer than `timeout`.',
  },
  ERR_FDWIRE_IDLE_TIMEOUT: {
    fault: 'peer',
    meaning: 'No byte moved in either direction for `idleTimeout`.',
  },
  ERR_FDWIRE_MESSAGE_TIMEOUT: {
    fault: 'peer',
    meaning: 'A message began, and did not end within `messageTimeout`.',
  },
  ERR_FDWIRE_HANDSHAKE: {
    fault: 'peer',
    meaning: 'The handshake of the protocol failed or is not complete.',
  },
  ERR_FDWIRE_CONSUMER_CONFLICT: {
    fault: 'caller',
    meaning:
      'Two consumers compete for the same messages: iterators, listeners, `serve`, a stream of `toDuplex`.',
  },
  ERR_FDWIRE_QUEUE_FULL: {
    fault: 'caller',
    meaning: 'The queue holds `maxQueued` bytes or `maxQueuedFds` descriptors: wait for `drain`.',
  },
  ERR_FDWIRE_NOT_QUIET: {
    fault: 'caller',
    meaning: 'The channel or socket has unsent data, a partial message or unread messages.',
  },
  ERR_FDWIRE_UNENCODABLE: {
    fault: 'caller',
    meaning: 'The protocol cannot carry the value: a BigInt in JSON, a line with a delimiter.',
  },
  ERR_FDWIRE_ILL_FORMED_TEXT: {
    fault: 'caller',
    meaning: 'A text, address or path contains a lone surrogate, which UTF-8 cannot represent.',
  },
  ERR_FDWIRE_BAD_ADDRESS: {
    fault: 'caller',
    meaning: 'The address is too long, belongs to another family, or cannot be a destination.',
  },
  ERR_FDWIRE_EMPTY_MESSAGE: {
    fault: 'peer',
    meaning: 'The message is empty, but the protocol requires at least one byte.',
  },
  ERR_FDWIRE_NOT_UTF8: {
    fault: 'peer',
    meaning: 'The text of the message is not valid UTF-8.',
  },
  ERR_FDWIRE_NOT_JSON: {
    fault: 'peer',
    meaning: 'The text of the message is not valid JSON.',
  },
  ERR_FDWIRE_UNDECODABLE: {
    fault: 'peer',
    meaning: 'The `decode` of the option `encoding` threw: see `cause`.',
  },
  ERR_FDWIRE_NOT_BASE64: {
    fault: 'peer',
    meaning: 'The message is not base64 in the form that the protocol uses.',
  },
  ERR_FDWIRE_FRAME_CUT_OFF: {
    fault: 'peer',
    meaning: 'A new frame begins before the end of this one.',
  },
  ERR_FDWIRE_BAD_ESCAPE: {
    fault: 'peer',
    meaning: 'The frame contains an invalid escape sequence.',
  },
  ERR_FDWIRE_BAD_CHECKSUM: {
    fault: 'peer',
    meaning: 'The checksum of the message is wrong.',
  },
  ERR_FDWIRE_BAD_BODY: {
    fault: 'peer',
    meaning: 'The body of the message lacks a required part or has a part of the wrong type.',
  },
  ERR_FDWIRE_STATUS: {
    fault: 'peer',
    meaning: 'The response has a status other than `STATUS_OKAY`.',
  },
  ERR_FDWIRE_REMOTE: {
    fault: 'peer',
    meaning: 'The service answered the call with an exception.',
  },
  ERR_FDWIRE_SID_EXISTS: {
    fault: 'caller',
    meaning: 'A service with this id exists already.',
  },
  ERR_FDWIRE_BAD_HEADER: {
    fault: 'peer',
    meaning: 'Invalid frame header: the rest of the stream cannot be decoded.',
  },
  ERR_FDWIRE_CUT_SHORT: {
    fault: 'peer',
    meaning: 'The stream ended inside a message, which lacks at least `missing` bytes.',
  },
  ERR_FDWIRE_MESSAGE_TOO_LARGE: {
    fault: 'peer',
    meaning: 'The message is larger than `maxMessage`. On a stream this error is fatal.',
  },
  ERR_FDWIRE_TOO_MANY_FDS: {
    fault: 'peer',
    meaning: 'The message has more descriptors than `maxFds`, or than the kernel passes (253).',
  },
  ERR_FDWIRE_FDS_TRUNCATED: {
    fault: 'system',
    meaning: 'The kernel could not install all descriptors of the message (RLIMIT_NOFILE).',
  },
  ERR_FDWIRE_NO_MEMFD: {
    fault: 'peer',
    meaning:
      'The message should be in a memfd, but its first descriptor is not one, or it changed.',
  },
  ERR_FDWIRE_UNDELIVERED: {
    fault: 'peer',
    meaning:
      'The message waited longer than `sendTimeout`, or the queues hold `maxQueuedTotal` bytes.',
  },
  ERR_FDWIRE_FD_GONE: {
    fault: 'caller',
    meaning: 'The descriptor was taken, closed or given to Node, or its owner has none.',
  },
  ERR_FDWIRE_FD_KIND: {
    fault: 'caller',
    meaning: 'The call cannot use a descriptor of this kind.',
  },
  ERR_FDWIRE_REMOTE_FILE: {
    fault: 'caller',
    meaning:
      'The file system may have a server that lets reads block (FUSE, NFS, `/proc`): needs `trust: true`.',
  },
  ERR_FDWIRE_NOT_A_SOCKET: {
    fault: 'caller',
    meaning: 'The descriptor is not a socket: use `over()` for a pipe or terminal.',
  },
  ERR_FDWIRE_WRONG_SOCKET: {
    fault: 'caller',
    meaning: 'The socket has another family, type or listening state than the call needs.',
  },
  ERR_FDWIRE_UNSUPPORTED_RUNTIME: {
    fault: 'system',
    meaning: 'This JavaScript runtime lacks an API that fdwire needs.',
  },
  ERR_FDWIRE_LOAD: {
    fault: 'system',
    meaning: 'The addon of this system is missing, or the process cannot load it.',
  },
} as const satisfies Record<string, { fault: Fault; meaning: string }>

/** A code of the closed list {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES
