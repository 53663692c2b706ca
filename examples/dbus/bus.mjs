// A client of D-Bus that can pass descriptors: an example of how to implement a protocol on `raw`.
//
// https://dbus.freedesktop.org/doc/dbus-specification.html
//
//   l type flags 1 │ length of the body │ serial │ header fields, padded to 8 │ body
//
// `raw` delivers chunks of bytes, each with the descriptors that arrived with it. A D-Bus header
// field contains the number of descriptors of a message. So this client queues descriptors, like
// bytes, until a message is complete.
import { EventEmitter } from 'node:events'
import { connect, FdSet } from 'fdwire'

const CALL = 1
const RETURN = 2
const ERROR = 3

/** The codes and types of the header fields that this client uses. */
const FIELDS = {
  path: [1, 'o'],
  interface: [2, 's'],
  member: [3, 's'],
  error: [4, 's'],
  replyTo: [5, 'u'],
  destination: [6, 's'],
  sender: [7, 's'],
  signature: [8, 'g'],
  fds: [9, 'u'],
}

/** The size limit of a D-Bus message (bytes). */
const MAX_MESSAGE = 128 * 1024 * 1024

/**
 * A connection to a bus. Emits `'call'` (message) when another client calls a method of this one.
 */
export class Bus extends EventEmitter {
  #channel
  #bytes = Buffer.alloc(0)
  /** Received descriptors of messages that are not complete yet. */
  #fds = []
  #serial = 0
  #calls = new Map()
  /** The unique name of this client on the bus. */
  name = ''

  /** Connects to the bus at a path. `maxFds` (16) limits the descriptors of a message. */
  static async connect(path, { maxFds = 16 } = {}) {
    const bus = new Bus()
    bus.#channel = await connect(path, { protocol: 'raw', type: 'stream', maxFds })
    await bus.#authenticate()
    bus.#channel.on('message', (chunk, fds) => bus.#take(chunk, fds))
    // The bytes of a malformed chunk are lost, so the start of the next message is unknown.
    bus.#channel.on('malformed', error => bus.#channel.destroy(error))
    bus.#channel.on('error', error => bus.emit('error', error))
    bus.#channel.on('close', () => bus.#fail(new Error('The bus has closed the connection')))
    const { body } = await bus.call('org.freedesktop.DBus', 'Hello')
    bus.name = body[0]
    return bus
  }

  /** Calls a method. Resolves to the reply, whose descriptors the caller owns. */
  call(destination, member, { path = '/', signature = '', body = [], fds = [], ...more } = {}) {
    const { interface: name = destination } = more
    const serial = this.#send(
      CALL,
      { path, interface: name, member, destination },
      { signature, body, fds },
    )
    return new Promise((resolve, reject) => this.#calls.set(serial, { resolve, reject }))
  }

  /** Replies to a call. */
  reply({ sender, serial }, { signature = '', body = [], fds = [] } = {}) {
    this.#send(RETURN, { destination: sender, replyTo: serial }, { signature, body, fds })
  }

  async close() {
    await this.#channel.close()
  }

  /** Authenticates by the peer credentials, which the bus gets from the kernel. */
  async #authenticate() {
    const uid = Buffer.from(String(process.getuid())).toString('hex')
    await this.#command(`\0AUTH EXTERNAL ${uid}\r\n`, 'OK ')
    await this.#command('NEGOTIATE_UNIX_FD\r\n', 'AGREE_UNIX_FD')
    this.#channel.send('BEGIN\r\n')
  }

  async #command(text, expected) {
    this.#channel.send(text)
    let answer = ''
    while (!answer.endsWith('\r\n')) answer += (await this.#channel.receive()).value
    if (!answer.startsWith(expected))
      throw new Error(`The bus answered ${JSON.stringify(answer)}, not ${expected}`)
  }

  #send(type, header, { signature, body, fds }) {
    const serial = ++this.#serial
    const content = new Writer()
    for (const [i, kind] of [...signature].entries()) content.write(kind, body[i])
    const fields = { ...header }
    if (signature !== '') fields.signature = signature
    if (fds.length > 0) fields.fds = fds.length
    const list = new Writer()
    for (const [name, value] of Object.entries(fields)) {
      const [code, kind] = FIELDS[name]
      list.align(8)
      list.byte(code)
      list.write('g', kind)
      list.write(kind, value)
    }
    const head = new Writer()
    for (const byte of [0x6c, type, 0, 1]) head.byte(byte)
    for (const number of [content.length, serial, list.length]) head.write('u', number)
    const message = Buffer.concat([head.bytes(), list.bytes(8), content.bytes()])
    this.#channel.send(message, { fds })
    return serial
  }

  #take(chunk, fds) {
    for (let i = 0; i < fds.length; i++) this.#fds.push(fds.take(i))
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    for (let length = this.#complete(); length > 0; length = this.#complete()) {
      const message = this.#bytes.subarray(0, length)
      this.#bytes = this.#bytes.subarray(length)
      this.#handle(message)
    }
  }

  /** Returns the length of the first message, or 0 if it is not complete. */
  #complete() {
    if (this.#bytes.length < 16) return 0
    const head = 16 + this.#bytes.readUInt32LE(12)
    const length = head + (-head & 7) + this.#bytes.readUInt32LE(4)
    if (length > MAX_MESSAGE || this.#bytes[0] !== 0x6c) {
      this.#channel.destroy(new Error('The bus has sent an invalid message header'))
      return 0
    }
    return this.#bytes.length < length ? 0 : length
  }

  #handle(bytes) {
    const fields = readFields(bytes)
    const content = new Reader(bytes, bytes.length - bytes.readUInt32LE(4))
    const body = [...(fields.signature ?? '')].map(kind => content.read(kind))
    const fds = FdSet.from(this.#fds.splice(0, fields.fds ?? 0))
    const type = bytes[1]
    const message = { ...fields, serial: bytes.readUInt32LE(8), body, fds }
    const call = this.#calls.get(fields.replyTo)
    if (type === CALL) this.emit('call', message)
    else if (call === undefined) fds.close()
    else {
      this.#calls.delete(fields.replyTo)
      if (type !== ERROR) call.resolve(message)
      else call.reject(new Error(`${fields.error}: ${body[0] ?? ''}`))
    }
  }

  #fail(error) {
    for (const { reject } of this.#calls.values()) reject(error)
    this.#calls.clear()
    if (this.#fds.length > 0) FdSet.from(this.#fds.splice(0)).close()
  }
}

function readFields(bytes) {
  const names = Object.keys(FIELDS)
  const reader = new Reader(bytes, 16)
  const end = 16 + bytes.readUInt32LE(12)
  const fields = {}
  while (reader.at < end) {
    reader.align(8)
    const code = bytes[reader.at++]
    const value = reader.read(reader.read('g'))
    const name = names.find(name => FIELDS[name][0] === code)
    if (name !== undefined) fields[name] = value
  }
  return fields
}

/** Encodes values of the types s, o, g, u and h. */
class Writer {
  #parts = []
  length = 0

  byte(value) {
    this.#parts.push(Buffer.from([value]))
    this.length++
  }

  align(to) {
    this.#push(Buffer.alloc(-this.length & (to - 1)))
  }

  write(kind, value) {
    if (kind !== 'g') this.align(4)
    if (kind === 'u' || kind === 'h') this.#number(value)
    else {
      const text = Buffer.from(`${value}\0`)
      if (kind === 'g') this.byte(text.length - 1)
      else this.#number(text.length - 1)
      this.#push(text)
    }
  }

  bytes(alignment = 1) {
    this.align(alignment)
    return Buffer.concat(this.#parts)
  }

  #number(value) {
    const number = Buffer.alloc(4)
    number.writeUInt32LE(value)
    this.#push(number)
  }

  #push(bytes) {
    this.#parts.push(bytes)
    this.length += bytes.length
  }
}

/** Decodes values of the same types. */
class Reader {
  #bytes
  at

  constructor(bytes, at) {
    this.#bytes = bytes
    this.at = at
  }

  align(to) {
    this.at += -this.at & (to - 1)
  }

  read(kind) {
    if (!'sogu'.includes(kind) && kind !== 'h')
      throw new Error(`Type ${kind} is not supported, only s, o, g, u and h`)
    if (kind !== 'g') this.align(4)
    const number = kind === 'g' ? this.#bytes[this.at++] : this.#number()
    if (kind === 'u' || kind === 'h') return number
    const text = this.#bytes.toString('utf8', this.at, this.at + number)
    this.at += number + 1
    return text
  }

  #number() {
    this.at += 4
    return this.#bytes.readUInt32LE(this.at - 4)
  }
}
