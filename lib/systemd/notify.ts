import type { FdSource } from '../fds/borrow.js'
import { duplicateFds } from '../fds/descriptors.js'
import { FdSet } from '../fds/fdset.js'
import { environment } from '../native/environment.js'
import { checkCallOptions, checkTimeout } from '../options/check.js'
import { checkInteger, describeValue } from '../util/checks.js'
import { illFormedError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { Deadline, withLimits } from '../util/wait.js'
import { decodeAddress, TIMEOUT, withSocket } from './socket.js'

/** The longest notification that systemd reads (bytes). It ignores longer ones. */
const MAX_NOTIFICATION = 4_096

/** The longest name of stored descriptors (bytes). */
const MAX_NAME = 255

/** The fields of a notification, as in sd_notify(3). A field that is undefined is left out. */
export interface NotifyFields {
  [field: string]: string | number | bigint | undefined
}

/** Options of {@link notify}. */
export interface NotifyOptions {
  /** Descriptors to send with the notification. They are duplicated at once. */
  fds?: FdSet | Iterable<FdSource> | undefined
  /** How long to wait for room in the receiver's queue (ms, 10,000; 0: no limit). */
  timeout?: number | undefined
}

/** Options of {@link barrier}. */
export interface BarrierOptions {
  /** How long to wait (ms, 10,000; 0: no limit). */
  timeout?: number | undefined
}

/**
 * Notifies the service manager, as sd_notify(3) does: `notify({ STATUS: 'Loading' })` or
 * `notify('STATUS=Loading')`.
 *
 * Resolves to true when the kernel has taken the notification, and to false without NOTIFY_SOCKET,
 * when no service manager waits for one.
 *
 * # Errors
 * TypeError, RangeError, ERR_FDWIRE_ILL_FORMED_TEXT; ERR_FDWIRE_BAD_ADDRESS for the value of
 * NOTIFY_SOCKET; ECONNREFUSED, ENOENT, EACCES …; ERR_FDWIRE_TOO_MANY_FDS, EBADF …;
 * ERR_FDWIRE_TIMEOUT.
 */
export async function notify(
  state: string | NotifyFields,
  options: NotifyOptions = NO_OPTIONS,
): Promise<boolean> {
  checkCallOptions('notify', options, ['fds', 'timeout'])
  const bytes = encodeState(state)
  const timeout = checkTimeout(options.timeout, TIMEOUT)
  return pass(notifySocket(), bytes, duplicateFds(options.fds ?? []), timeout)
}

/** Sends a notification with descriptors, if there is an address, and closes the descriptors. */
async function pass(
  address: string | undefined,
  bytes: Buffer,
  fds: FdSet,
  timeout: number,
): Promise<boolean> {
  try {
    if (address === undefined) return false
    await withSocket(address, timeout, core => core.sendAndFlush(bytes, { fds }))
    return true
  } finally {
    fds.close()
  }
}

/** Reports that the service has started, or has reloaded its configuration: `READY=1`. */
export function ready(): Promise<boolean> {
  return notify('READY=1')
}

/** Reports that the service reloads its configuration: `RELOADING=1`. Call `ready` afterwards. */
export function reloading(): Promise<boolean> {
  // Node's clock is CLOCK_MONOTONIC, in nanoseconds.
  return notify({ RELOADING: 1, MONOTONIC_USEC: process.hrtime.bigint() / 1_000n })
}

/** Reports that the service shuts down: `STOPPING=1`. */
export function stopping(): Promise<boolean> {
  return notify('STOPPING=1')
}

/**
 * Describes the state of the service in one line, which `systemctl status` shows: `STATUS=…`.
 *
 * # Errors
 * Those of {@link notify}, as for all functions below.
 */
export async function status(text: string): Promise<boolean> {
  if (typeof text !== 'string') {
    throw new TypeError(`status takes a string, not ${describeValue(text)}`)
  }
  return notify({ STATUS: text })
}

/** Reports the main process of the service: `MAINPID=…`. */
export async function mainPid(pid: number): Promise<boolean> {
  return notify({ MAINPID: checkInteger('pid', pid, process.pid, 1) })
}

/**
 * Hands descriptors to the service manager, which keeps them while the service restarts:
 * `FDSTORE=1`. They come back with `listenFds`, under the same name.
 */
export async function storeFds(name: string, fds: FdSet | Iterable<FdSource>): Promise<boolean> {
  const bytes = encodeState({ FDSTORE: 1, FDNAME: checkName(name) })
  const address = notifySocket()
  const copies = duplicateFds(fds)
  if (copies.length === 0) throw new RangeError('storeFds needs at least one descriptor')
  return pass(address, bytes, copies, TIMEOUT)
}

/** Makes the service manager close the descriptors that it keeps by a name: `FDSTOREREMOVE=1`. */
export async function removeFds(name: string): Promise<boolean> {
  return notify({ FDSTOREREMOVE: 1, FDNAME: checkName(name) })
}

/**
 * Waits until the service manager has handled all notifications before this call, as
 * sd_notify_barrier(3) does. A process that exits earlier may not be recognized as their sender.
 *
 * Resolves to false without NOTIFY_SOCKET.
 */
export async function barrier(options: BarrierOptions = NO_OPTIONS): Promise<boolean> {
  checkCallOptions('barrier', options, ['timeout'])
  const deadline = new Deadline(checkTimeout(options.timeout, TIMEOUT))
  const address = notifySocket()
  if (address === undefined) return false
  const [reading, writing] = environment.pipe()
  const sent = FdSet.from([writing])
  const kept = FdSet.from([reading])
  const pipe = kept.toReadStream(0)
  try {
    // The pipe ends when the manager closes its end, which it does after what it has received before.
    const closed = new Promise<void>((resolve, reject) => {
      pipe.on('end', resolve).on('error', reject).resume()
    })
    await pass(address, encodeState('BARRIER=1'), sent, deadline.remaining)
    const late = 'The service manager did not handle the notifications'
    await withLimits(closed, { timeout: deadline.remaining }, { late })
  } finally {
    sent.close()
    pipe.destroy()
  }
  return true
}

/** Returns the address of the service manager's socket; undefined without NOTIFY_SOCKET. */
function notifySocket(): string | undefined {
  const { NOTIFY_SOCKET } = process.env
  return NOTIFY_SOCKET ? decodeAddress(NOTIFY_SOCKET, 'NOTIFY_SOCKET') : undefined
}

function encodeState(state: unknown): Buffer {
  const text = typeof state === 'string' ? state : encodeFields(state)
  if (text === '') throw new TypeError('notify needs at least one field')
  if (!text.isWellFormed()) throw illFormedError('The notification', text)
  const bytes = Buffer.from(text)
  if (bytes.length <= MAX_NOTIFICATION) return bytes
  throw new RangeError(
    `The notification has ${bytes.length} bytes: systemd ignores more than ${MAX_NOTIFICATION}`,
  )
}

function encodeFields(fields: unknown): string {
  if (typeof fields !== 'object' || fields === null) {
    throw new TypeError(
      `notify takes a string or an object of fields, not ${describeValue(fields)}`,
    )
  }
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined)
  return lines.map(([name, value]) => `${checkField(name)}=${checkValue(name, value)}`).join('\n')
}

function checkField(name: string): string {
  if (/^[^=\n]+$/.test(name)) return name
  throw new TypeError(`A field must have a name without = and line breaks, not '${name}'`)
}

function checkValue(name: string, value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (typeof value !== 'string') {
    throw new TypeError(`${name} must be a string or a number, not ${describeValue(value)}`)
  }
  if (!value.includes('\n')) return value
  throw new RangeError(`${name} must be one line: systemd takes the next one for another field`)
}

/** Checks the name of stored descriptors, as systemd does: it would ignore an invalid one. */
function checkName(name: unknown): string {
  if (typeof name !== 'string') {
    throw new TypeError(`name must be a string, not ${describeValue(name)}`)
  }
  if (name.length <= MAX_NAME && /^[\x20-\x7e]+$/.test(name) && !name.includes(':')) return name
  throw new RangeError(
    `name must be 1 to ${MAX_NAME} printable ASCII characters without a colon, not ${describeValue(name)}`,
  )
}
