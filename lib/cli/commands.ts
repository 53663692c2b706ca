/** The commands of `fdwire`. docs/cli.md is generated from this table. */
import type { Command } from './command.js'
import { CHANNEL_OPTIONS, FD_OPTIONS, OUTPUT_OPTIONS } from './options.js'

const EXEC = {
  type: 'string',
  value: 'CMD',
  text: 'Answer each message with the output of a shell command, in which {} is the message.',
} as const

const WAIT = {
  type: 'string',
  value: 'MS',
  text: 'Wait for the socket to appear at ADDR (0).',
} as const

export const COMMANDS: readonly Command[] = [
  {
    name: 'listen',
    arguments: ['ADDR'],
    summary: 'Accepts connections, prints what arrives, and sends what is typed to all of them.',
    details:
      'Each message is printed with its descriptors. The command ends with Ctrl-C, which removes the ' +
      'socket. It listens for streams unless --type says otherwise.',
    options: {
      ...CHANNEL_OPTIONS,
      exec: EXEC,
      once: { type: 'boolean', text: 'End when the first connection has ended.' },
      ...OUTPUT_OPTIONS,
    },
    example: [
      "fdwire listen app.sock --exec 'echo got {}' --once &",
      'fdwire send app.sock hello --request --wait 5000',
    ],
    output: [
      'listening at app.sock (lines, stream)',
      '#1 connected: pid 4711, uid 0, gid 0',
      '#1 < "hello"',
      '> "got hello"',
      '< "got hello"',
      '#1 ended',
    ],
    load: async () => ({ run: (await import('./commands/interactive.js')).runListen }),
  },
  {
    name: 'bind',
    arguments: ['ADDR'],
    summary: 'Receives datagrams, prints them, and sends what is typed to the last sender.',
    details:
      'Each message is printed with its sender, the credentials of the process that sent it, and its ' +
      'descriptors. The command ends with Ctrl-C, which removes the socket.',
    options: { ...CHANNEL_OPTIONS, exec: EXEC, ...OUTPUT_OPTIONS },
    example: [
      "fdwire bind app.sock --exec 'echo got {}' &",
      'fdwire send app.sock \'{"n":1}\' --request --wait 5000',
      'kill %1',
    ],
    output: [
      'bound to app.sock (jsoncomm, dgram)',
      '< {"n":1} (from @c73b1, pid 4711, uid 0, gid 0)',
      '> "got {\\"n\\":1}"',
      '< "got {\\"n\\":1}"',
    ],
    load: async () => ({ run: (await import('./commands/interactive.js')).runBind }),
  },
  {
    name: 'connect',
    arguments: ['ADDR'],
    summary: 'Connects to a socket, prints what arrives, and sends what is typed.',
    details:
      'At the end of stdin it ends its side of the connection and waits for the end of the peer; a ' +
      'datagram socket is closed at once.',
    options: { ...CHANNEL_OPTIONS, exec: EXEC, wait: WAIT, ...OUTPUT_OPTIONS },
    example: [
      "fdwire listen app.sock --exec 'echo got {}' --once >listen.log &",
      "printf 'one\\ntwo\\n' | fdwire connect app.sock --wait 5000",
    ],
    output: [
      'connected: pid 4711, uid 0, gid 0',
      '> "one"',
      '> "two"',
      '< "got one"',
      '< "got two"',
      'ended',
    ],
    load: async () => ({ run: (await import('./commands/interactive.js')).runConnect }),
  },
  {
    name: 'send',
    arguments: ['ADDR', '[VALUE]'],
    summary: 'Sends one message, or each line of stdin as one, with descriptors.',
    details:
      'A value that is not valid JSON is sent as a string. The descriptors go with the first message, ' +
      'in the order of the options.',
    options: {
      ...CHANNEL_OPTIONS,
      ...FD_OPTIONS,
      request: { type: 'boolean', short: 'r', text: 'Wait for the reply and print it.' },
      timeout: { type: 'string', value: 'MS', text: 'Time limit for the reply (10,000; 0: none).' },
      wait: WAIT,
      ...OUTPUT_OPTIONS,
    },
    example: [
      'echo content >file.txt',
      'fdwire recv app.sock --count 1 --cat &',
      'fdwire send app.sock hello --open file.txt --wait 5000',
    ],
    output: ['content'],
    load: () => import('./commands/send.js'),
  },
  {
    name: 'recv',
    arguments: ['ADDR'],
    summary: 'Receives messages and prints them, or uses the descriptors that come with them.',
    details:
      'It binds a datagram socket; with --type stream or seqpacket it accepts connections, and with ' +
      '--connect it connects to a socket.',
    options: {
      ...CHANNEL_OPTIONS,
      count: { type: 'string', short: 'n', value: 'N', text: 'End after N messages.' },
      timeout: {
        type: 'string',
        value: 'MS',
        text: 'End with exit code 3 if no message arrives for so long (0: never).',
      },
      cat: {
        type: 'boolean',
        text: 'Write the contents of the descriptors to stdout, and no more.',
      },
      save: { type: 'string', value: 'DIR', text: 'Write the contents to DIR/MESSAGE-INDEX.' },
      exec: {
        type: 'string',
        value: 'CMD',
        text: 'Run a shell command for each message; the descriptors are 3, 4 …, FDWIRE_VALUE the message.',
      },
      connect: { type: 'boolean', text: 'Connect to ADDR instead of receiving there.' },
      wait: WAIT,
      ...OUTPUT_OPTIONS,
    },
    example: [
      'echo content >file.txt',
      "fdwire recv app.sock --count 1 --exec 'cat <&3' &",
      'fdwire send app.sock hello --wait 5000 --fd 3 3<file.txt',
    ],
    output: [
      '< "hello" (from @283b3, pid 4711, uid 0, gid 0)',
      '  fd 0: file /home/user/file.txt (read)',
      'content',
    ],
    load: () => import('./commands/recv.js'),
  },
  {
    name: 'tap',
    arguments: ['LISTEN', 'TARGET'],
    summary: 'Forwards between two addresses and prints both directions, with descriptors.',
    details:
      'Clients connect to LISTEN, and each is connected to TARGET. Bytes and descriptors are forwarded ' +
      'unchanged. The target sees the credentials of the tap, not those of the client, which are printed. ' +
      'Without --protocol a stream is forwarded in chunks, and the descriptors of a chunk arrive with ' +
      'its first byte; with --protocol messages keep their own descriptors.',
    options: {
      protocol: CHANNEL_OPTIONS.protocol,
      type: CHANNEL_OPTIONS.type,
      wait: { ...WAIT, text: 'Wait for the socket to appear at TARGET (0).' },
      record: { type: 'string', value: 'FILE', text: 'Write all messages to FILE, for replay.' },
      quiet: { type: 'boolean', short: 'q', text: 'Print the totals only.' },
      once: { type: 'boolean', text: 'End when the first connection has ended.' },
      ...OUTPUT_OPTIONS,
    },
    example: [
      "fdwire listen app.sock --exec 'echo got {}' --once >listen.log &",
      'fdwire tap tap.sock app.sock --type stream --wait 5000 --once &',
      'fdwire send tap.sock hello --request --wait 5000 >reply.log',
      'wait',
    ],
    output: [
      'tapping tap.sock -> app.sock',
      '#1 connected: pid 4711, uid 0, gid 0',
      '#1 0.009 > 6 B "hello\\n"',
      '#1 0.014 < 10 B "got hello\\n"',
      '#1 ended',
      '1 messages (6 B) to the target, 1 (10 B) back, 0 descriptors',
    ],
    load: () => import('./commands/tap.js'),
  },
  {
    name: 'replay',
    arguments: ['FILE', '[ADDR]'],
    summary: 'Sends what the clients of a recorded session sent, and compares the replies.',
    details:
      'Each message is sent after the replies that it followed. Files are opened again by their path; ' +
      'an empty file replaces every other descriptor. ADDR is the recorded target unless given.',
    options: {
      check: { type: 'boolean', text: 'End with exit code 1 if the replies differ.' },
      timeout: { type: 'string', value: 'MS', text: 'How long to wait for replies (5,000).' },
      ...OUTPUT_OPTIONS,
    },
    example: [
      "fdwire listen app.sock --exec 'echo got {}' >listen.log &",
      'fdwire send tap.sock hello --request --wait 5000 >reply.log &',
      'fdwire tap tap.sock app.sock --type stream --wait 5000 --once -q --record session.log >tap.log',
      'fdwire replay session.log --check; kill %1',
    ],
    output: ['#1 sent 1 messages, received 10 of 10 bytes: as recorded'],
    load: () => import('./commands/replay.js'),
  },
  {
    name: 'ls',
    arguments: ['[FILTER]'],
    summary: 'Lists the Unix sockets of this network namespace that have an address.',
    details:
      'FILTER is a part of the address. Processes of other users are shown to root only; the queues need ' +
      'ss(8): the messages or bytes that wait at the socket, and the sent bytes that its peers have not read.',
    options: {
      all: { type: 'boolean', short: 'a', text: 'List sockets without an address as well.' },
      ...OUTPUT_OPTIONS,
    },
    example: [
      'fdwire bind app.sock >bind.log &',
      'fdwire send app.sock 1 --wait 5000',
      'fdwire ls app.sock; kill %1',
    ],
    output: [
      'TYPE   STATE  RECV-Q  SEND-Q  PROCESS     ADDRESS',
      'dgram  bound  0       0       node[4711]  app.sock',
    ],
    load: () => import('./commands/ls.js'),
  },
  {
    name: 'bench',
    arguments: [],
    summary: 'Measures fdwire, node:net and child_process between two processes of this machine.',
    details:
      'Messages of 100 bytes of JSON: how many arrive per second, and how long a message and its reply ' +
      'take. Machines differ, so compare the ratios of one run.',
    options: {
      seconds: { type: 'string', short: 's', value: 'N', text: 'The duration in all (10).' },
      ...OUTPUT_OPTIONS,
    },
    example: ['fdwire bench --seconds 3'],
    output: [
      '               MESSAGES    RATIO  ROUND TRIP  RATIO',
      'fdwire         769,957 /s  1.00   35.3 µs     1.00',
      'node:net       160,000 /s  0.21   76.6 µs     2.17',
      'child_process  113,111 /s  0.15   30.0 µs     0.85',
    ],
    load: () => import('./commands/bench.js'),
  },
  {
    name: 'doctor',
    arguments: [],
    summary: 'Shows what this system offers, what it means for fdwire, and how to change it.',
    details: 'Exit code 1 if fdwire cannot work here.',
    options: OUTPUT_OPTIONS,
    example: ['fdwire doctor'],
    output: [
      'ok       fdwire                   0.1.0',
      '                                  The native addon is loaded.',
      'ok       Node                     v24.14.0',
      '                                  fdwire needs 20.19 or newer.',
      'ok       peer.pidfd               yes',
      '                                  channel.peer has a descriptor of the process at the other end.',
      'note     net.unix.max_dgram_qlen  5',
      '                                  6 datagrams wait at a bound socket; fdwire queues more at the sender. sysctl -w net.unix.max_dgram_qlen=512 raises it.',
    ],
    load: () => import('./commands/doctor.js'),
  },
]
