import type { Fields, Form } from './socket_protocol.js'

/** The type of a socket: bytes without borders, records over a connection, or datagrams. */
export type SocketType = 'stream' | 'seqpacket' | 'dgram'

/** What a message is: a JSON value, a string, a Buffer, or a message of socket_protocol. */
export type Encoding = 'json' | 'text' | 'buffer' | Form

/** The options that only some protocols have. */
export type OwnOption = 'lenient' | 'allowEmpty' | 'finalLine' | 'memfd'

/**
 * What becomes of an empty message that is to be sent.
 *
 * `'skipped'`: `send` succeeds and no byte goes out, so that descriptors would have nothing to travel
 * with. `'refused'`: `send` throws, since no receiver of the original would ever see it.
 */
export type Empty = 'sent' | 'skipped' | 'refused'

interface Row {
  types: readonly [SocketType, ...SocketType[]]
  encodings: readonly Encoding[]
  maxFds: number
  options: readonly OwnOption[]
  empty: Empty
  /** Whether there is a delimiter, which no message may hold. */
  delimited?: true
}

/**
 * The protocols, and what each is made for: their first type and encoding are the defaults.
 *
 * One without encodings says with each message what that is.
 */
export const PROTOCOLS = {
  jsoncomm: {
    types: ['dgram', 'seqpacket'],
    encodings: ['json'],
    maxFds: 253,
    options: ['memfd'],
    empty: 'sent',
  },
  uds_comms: {
    types: ['stream'],
    encodings: ['text', 'json'],
    maxFds: 0,
    options: ['lenient'],
    empty: 'refused',
  },
  stockings: {
    types: ['stream'],
    encodings: [],
    maxFds: 0,
    options: ['allowEmpty'],
    empty: 'skipped',
  },
  msg_channel: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    options: [],
    empty: 'sent',
  },
  length_prefixed: {
    types: ['stream'],
    encodings: ['buffer', 'text', 'json'],
    maxFds: 0,
    options: [],
    empty: 'sent',
  },
  lines: {
    types: ['stream'],
    encodings: ['text', 'json', 'buffer'],
    maxFds: 0,
    options: ['finalLine'],
    empty: 'sent',
    delimited: true,
  },
  socket_protocol: {
    types: ['stream', 'seqpacket', 'dgram'],
    encodings: ['pure_json', 'struct_json', 'buffer'],
    maxFds: 0,
    options: [],
    empty: 'sent',
  },
  raw: {
    types: ['stream', 'seqpacket', 'dgram'],
    encodings: ['buffer'],
    maxFds: 0,
    options: [],
    empty: 'sent', // as a datagram: see `emptyOf`
  },
} as const satisfies Record<string, Row>

/** The name of a protocol: a framing, and nothing else. */
export type Protocol = keyof typeof PROTOCOLS

/** The names of the protocols, in the order of the documents. */
export const PROTOCOL_NAMES = Object.keys(PROTOCOLS) as Protocol[]

type Rows = typeof PROTOCOLS

/** The types of socket that a protocol goes over. */
export type TypeOf<P extends Protocol> = Rows[P]['types'][number]

/** The protocols that go over sockets of a type. */
export type ProtocolOver<T extends SocketType> = {
  [P in Protocol]: T extends TypeOf<P> ? P : never
}[Protocol]

/** The encodings of a protocol; none where each message says itself what it is. */
export type EncodingOf<P extends Protocol> = Rows[P]['encodings'][number]

/** The encoding of a protocol where nothing is said: its first. */
export type DefaultEncodingOf<P extends Protocol> = P extends Protocol
  ? Rows[P]['encodings'] extends readonly [infer First extends EncodingOf<P>, ...unknown[]]
    ? First
    : never
  : never

/** `T` where a protocol has the option, else nothing. */
export type OwnOptionOf<P extends Protocol, O extends OwnOption, T> =
  O extends OwnsOf<P> ? T | undefined : undefined

type OwnsOf<P extends Protocol> = Rows[P]['options'][number]

/** What the messages of a protocol are, as `'message'` and `receive()` give them. */
export type ValueOf<
  P extends Protocol,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
> = P extends keyof OwnValues ? OwnValues[P] : Values[E]

/** What each encoding makes of a message. */
interface Values {
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives is any, and here too
  json: any
  text: string
  buffer: Buffer
  pure_json: Fields
  struct_json: Fields
}

/** What the messages are where the protocol has no encodings. */
interface OwnValues {
  stockings: string | Buffer
}

/** What `send` takes where messages are a `V`: instead of a Buffer any view, or a text for UTF-8. */
export type Sendable<V> = V extends Buffer ? string | ArrayBufferView : V

/** A protocol's row, as one type for all of them. */
export function rowOf(protocol: Protocol): Row {
  return PROTOCOLS[protocol]
}

/** What becomes of an empty message: a stream without frames has no place for one. */
export function emptyOf(protocol: Protocol, type: SocketType): Empty {
  if (protocol === 'raw' && type === 'stream') return 'skipped'
  return PROTOCOLS[protocol].empty
}
