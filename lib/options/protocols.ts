import type { Fields, Form } from './socket_protocol.js'

/** The type of a socket: a byte stream, records over a connection, or datagrams. */
export type SocketType = 'stream' | 'seqpacket' | 'dgram'

/** The type of messages: JSON values, strings, Buffers, or messages of socket_protocol. */
export type Encoding = 'json' | 'text' | 'buffer' | Form

/**
 * What `send` does with an empty message.
 *
 * - `'sent'`: it sends the message.
 * - `'skipped'`: it succeeds and sends no byte. So no descriptors can accompany the message.
 * - `'refused'`: it throws, since no receiver of the original implementation delivers the message.
 */
export type Empty = 'sent' | 'skipped' | 'refused'

interface Row {
  /** The socket types that the protocol runs over; the first is the default. */
  types: readonly [SocketType, ...SocketType[]]
  /** The encodings; the first is the default. Empty if each message says whether it is text. */
  encodings: readonly Encoding[]
  /** The default of the option `maxFds`. */
  maxFds: number
  /** What `send` does with an empty message. */
  empty: Empty
  /** Whether errors must not show a sample of a message, which may contain keys (false). */
  redacted?: true
}

/** The protocols, in the order of the documentation. */
export const PROTOCOLS = {
  jsoncomm: {
    types: ['dgram', 'seqpacket'],
    encodings: ['json'],
    maxFds: 253,
    empty: 'sent',
  },
  uds_comms: {
    types: ['stream'],
    encodings: ['text', 'json'],
    maxFds: 0,
    empty: 'refused',
  },
  stockings: {
    types: ['stream'],
    encodings: [],
    maxFds: 0,
    empty: 'skipped',
  },
  msg_channel: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    empty: 'sent',
  },
  length_prefixed: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    empty: 'sent',
  },
  lines: {
    types: ['stream'],
    encodings: ['text', 'json', 'buffer'],
    maxFds: 0,
    empty: 'sent',
  },
  content_length: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    empty: 'sent',
  },
  netstring: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    empty: 'sent',
  },
  varint: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    empty: 'sent',
  },
  socket_protocol: {
    types: ['stream', 'seqpacket', 'dgram'],
    encodings: ['pure_json', 'struct_json', 'buffer'],
    maxFds: 0,
    empty: 'sent',
    redacted: true,
  },
  raw: {
    types: ['stream', 'seqpacket', 'dgram'],
    encodings: ['buffer'],
    maxFds: 0,
    empty: 'sent', // except over streams: see `emptyOf`
  },
} as const satisfies Record<string, Row>

/** The name of a protocol. It chooses the framing and nothing else. */
export type Protocol = keyof typeof PROTOCOLS

/** The names of the protocols, in the order of the documentation. */
export const PROTOCOL_NAMES = Object.keys(PROTOCOLS) as Protocol[]

type Rows = typeof PROTOCOLS

/** The socket types that a protocol runs over. */
export type TypeOf<P extends Protocol> = Rows[P]['types'][number]

/** The protocols that run over a socket type. */
export type ProtocolOver<T extends SocketType> = {
  [P in Protocol]: T extends TypeOf<P> ? P : never
}[Protocol]

/** The names of a protocol's encodings; never if each message says whether it is text. */
export type NamedEncodingOf<P extends Protocol> = Rows[P]['encodings'][number]

/** The values of the option `encoding` of a protocol. Custom ones replace `'buffer'`. */
export type EncodingOf<P extends Protocol> = NamedEncodingOf<P> | CustomEncodingOf<P>

/** The custom encodings of a protocol; never if it carries no Buffers. */
export type CustomEncodingOf<P extends Protocol> = CustomEncodings[P]

// A table instead of a conditional type: the compiler infers the types of methods through it.
type CustomEncodings = {
  // biome-ignore lint/suspicious/noExplicitAny: the types follow from its methods
  [P in Protocol]: 'buffer' extends NamedEncodingOf<P> ? CustomEncoding<any, any> : never
}

/**
 * An encoding of the program, as the value of the option `encoding`: converts between values and the
 * bytes of messages.
 */
export interface CustomEncoding<Receives = unknown, Sends = Receives> {
  /** Returns the bytes of a value, or a string, which is sent as UTF-8. */
  encode(value: Sends): string | Uint8Array
  /** Returns the value of bytes. They are never overwritten: the value may contain views of them. */
  decode(bytes: Buffer): Receives
}

/** The default encoding of a protocol: its first. */
export type DefaultEncodingOf<P extends Protocol> = P extends Protocol
  ? Rows[P]['encodings'] extends readonly [infer First extends NamedEncodingOf<P>, ...unknown[]]
    ? First
    : never
  : never

/** The messages of a protocol, as `'message'` and `receive()` deliver them. */
export type ValueOf<
  P extends Protocol,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
> = P extends keyof OwnValues
  ? OwnValues[P]
  : E extends Encoding
    ? Values[E]
    : E extends { decode(bytes: Buffer): infer Receives }
      ? Receives
      : never

/** The messages of each encoding. */
interface Values {
  json: unknown
  text: string
  buffer: Buffer
  pure_json: Fields
  struct_json: Fields
}

/** The messages of protocols that have no encodings. */
interface OwnValues {
  stockings: string | Buffer
}

/** What `send` accepts if messages are `V`. For Buffers: any view, or a string to send as UTF-8. */
export type Sendable<V> = V extends Buffer ? string | ArrayBufferView : V

/** The values that `send` accepts on a channel of a protocol. */
export type SendableOf<
  P extends Protocol,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
> = P extends keyof OwnValues
  ? Sendable<OwnValues[P]>
  : E extends { encode(value: infer Sends): unknown }
    ? Sends
    : Sendable<ValueOf<P, E>>

/** The protocols that have the encoding `'json'`. */
export type JsonProtocol = {
  [P in Protocol]: 'json' extends NamedEncodingOf<P> ? P : never
}[Protocol]

/** Returns the row of a protocol, with one type for all protocols. */
export function rowOf(protocol: Protocol): Row {
  return PROTOCOLS[protocol]
}

/** Returns what `send` does with an empty message. A stream without frames cannot carry one. */
export function emptyOf(protocol: Protocol, type: SocketType): Empty {
  if (protocol === 'raw' && type === 'stream') return 'skipped'
  return PROTOCOLS[protocol].empty
}
