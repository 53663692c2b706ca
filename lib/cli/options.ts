/** The options that several commands share. */
import { PROTOCOL_NAMES } from '../options/protocols.js'
import type { Option } from './arguments.js'

export const OUTPUT_OPTIONS = {
  json: { type: 'boolean', text: 'Print one JSON object per line.' },
  help: { type: 'boolean', short: 'h', text: 'Print this help.' },
} as const satisfies Record<string, Option>

export const CHANNEL_OPTIONS = {
  protocol: {
    type: 'string',
    short: 'p',
    value: 'NAME',
    text: `The framing: ${PROTOCOL_NAMES.join(', ')} (jsoncomm for datagrams and records, else lines).`,
  },
  type: {
    type: 'string',
    short: 't',
    value: 'TYPE',
    text: 'The socket: stream, seqpacket or dgram (the type of the socket at ADDR, if there is one).',
  },
  encoding: {
    type: 'string',
    short: 'e',
    value: 'NAME',
    text: 'The encoding of messages: json, text or buffer (the first one of the protocol).',
  },
  delimiter: {
    type: 'string',
    value: 'TEXT',
    text: 'lines: what ends each message, with the escapes \\n, \\r, \\t, \\0 and \\xNN (\\n).',
  },
  'length-bytes': {
    type: 'string',
    value: 'N',
    text: 'length_prefixed: the size of the length, 1, 2, 3, 4 or 8 bytes (4).',
  },
  'little-endian': {
    type: 'boolean',
    text: 'length_prefixed: the length begins with its lowest byte.',
  },
  'length-adjustment': {
    type: 'string',
    value: 'N',
    text: 'length_prefixed: what is added to the received number to get the size of the message (0).',
  },
  hex: { type: 'boolean', text: 'Values that are sent are hexadecimal bytes.' },
  'max-fds': {
    type: 'string',
    value: 'N',
    text: 'The most descriptors of a message (253 on Unix sockets).',
  },
} as const satisfies Record<string, Option>

export const FD_OPTIONS = {
  fd: {
    type: 'string',
    value: 'N',
    multiple: true,
    text: 'Send descriptor N, which fdwire inherits from the shell.',
  },
  open: {
    type: 'string',
    value: 'FILE',
    multiple: true,
    text: 'Open a file or directory for reading and send its descriptor.',
  },
  pipe: {
    type: 'string',
    value: 'CMD',
    multiple: true,
    text: 'Start a command and send the read end of a pipe to which it writes.',
  },
  'listen-tcp': {
    type: 'string',
    value: 'PORT',
    multiple: true,
    text: 'Listen at a TCP port of 127.0.0.1 (0: a free one) and send the listening socket.',
  },
} as const satisfies Record<string, Option>
