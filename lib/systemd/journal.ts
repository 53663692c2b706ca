import type { ChannelCore } from '../channel/core.js'
import { createMemfd } from '../fds/memfd.js'
import { checkCallOptions, checkTimeout } from '../options/check.js'
import { bufferOf } from '../util/buffers.js'
import { describeValue } from '../util/checks.js'
import { errorCode, illFormedError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { decodeAddress, TIMEOUT, withSocket } from './socket.js'

/** The socket of systemd-journald. */
const SOCKET = '/run/systemd/journal/socket'

/** The value of a field. An array has one entry for each time that the field occurs. */
export type JournalValue = string | number | bigint | ArrayBufferView

/** The fields of an entry, as in systemd.journal-fields(7): `MESSAGE`, `PRIORITY`, your own. */
export interface JournalFields {
  [field: string]: JournalValue | readonly JournalValue[] | undefined
}

/** Options of {@link journal}. */
export interface JournalOptions {
  /** The socket of the journal (`'/run/systemd/journal/socket'`); `@` begins an abstract name. */
  address?: string | undefined
  /** How long to wait for room in the journal's queue (ms, 10,000; 0: no limit). */
  timeout?: number | undefined
}

/**
 * Writes an entry to the journal by its native protocol: `journal({ MESSAGE: 'Hello' })`.
 *
 * An entry that is too large for a datagram is passed in a sealed memfd. Resolves to true when the
 * kernel has taken the entry, and to false if there is no journal (ENOENT).
 *
 * # Errors
 * TypeError, RangeError, ERR_FDWIRE_ILL_FORMED_TEXT; ECONNREFUSED, EACCES …; ERR_FDWIRE_TIMEOUT.
 */
export async function journal(
  fields: JournalFields,
  options: JournalOptions = NO_OPTIONS,
): Promise<boolean> {
  checkCallOptions('journal', options, ['address', 'timeout'])
  const entry = encodeEntry(fields)
  const timeout = checkTimeout(options.timeout, TIMEOUT)
  const address = decodeAddress(checkString('address', options.address ?? SOCKET), 'address')
  try {
    await withSocket(address, timeout, async core => {
      await core.sender.flushMessage(sendEntry(core, entry), undefined)
    })
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}

/** Sends an entry: at once, so that it precedes those of later calls. Returns its number. */
function sendEntry(core: ChannelCore, entry: Buffer): number {
  try {
    return core.sender.send(entry, undefined)
  } catch (error) {
    // Only the kernel knows whether an entry is too large for a datagram.
    if (errorCode(error) !== 'EMSGSIZE') throw error
    return passEntry(core, entry)
  }
}

function passEntry(core: ChannelCore, entry: Buffer): number {
  const fds = createMemfd(entry, { name: 'journal-entry' })
  try {
    return core.sender.send(Buffer.alloc(0), { fds })
  } finally {
    fds.close()
  }
}

/** Encodes an entry; see https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. */
function encodeEntry(fields: unknown): Buffer {
  if (typeof fields !== 'object' || fields === null) {
    throw new TypeError(`journal takes an object of fields, not ${describeValue(fields)}`)
  }
  const parts: Buffer[] = []
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    checkField(name)
    for (const one of Array.isArray(value) ? value : [value]) encodeField(name, one, parts)
  }
  if (parts.length === 0) throw new TypeError('journal needs at least one field')
  return Buffer.concat(parts)
}

function encodeField(name: string, value: unknown, parts: Buffer[]): void {
  const bytes = encodeValue(name, value)
  if (!bytes.includes(0x0a)) {
    parts.push(Buffer.from(`${name}=`), bytes, LINE_BREAK)
    return
  }
  // A value with a line break has its length before it.
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(bytes.length))
  parts.push(Buffer.from(`${name}\n`), length, bytes, LINE_BREAK)
}

const LINE_BREAK = Buffer.from('\n')

function encodeValue(name: string, value: unknown): Buffer {
  if (ArrayBuffer.isView(value)) return bufferOf(value)
  if (typeof value === 'number' || typeof value === 'bigint') return Buffer.from(String(value))
  const text = checkString(name, value, ', a number, or a Buffer or another ArrayBufferView')
  if (text.isWellFormed()) return Buffer.from(text)
  throw illFormedError(name, text)
}

/** Checks the name of a field, as the journal does: it ignores invalid ones. */
function checkField(name: string): void {
  if (/^[A-Z][A-Z0-9_]{0,63}$/.test(name)) return
  throw new RangeError(
    `A field has a name of 1 to 64 characters from A-Z, 0-9 and _ that begins with a letter, not ${describeValue(name)}`,
  )
}

function checkString(name: string, value: unknown, more = ''): string {
  if (typeof value === 'string') return value
  throw new TypeError(`${name} must be a string${more}, not ${describeValue(value)}`)
}
