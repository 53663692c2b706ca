/** Memfds: files in memory, whose descriptors pass bytes to other processes. */

import { constants } from 'node:buffer'
import { constants as osConstants } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { environment } from '../native/environment.js'
import { checkCallOptions } from '../options/calls.js'
import { allocate } from '../util/buffers.js'
import { asBytes, checkBoolean, checkInteger, describeValue } from '../util/checks.js'
import { FdwireError, illFormedError, type SystemError, systemError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { type FdSource, fdOfSource } from './borrow.js'
import { FdSet } from './fdset.js'

/** Options of {@link createMemfd}. */
export interface MemfdOptions {
  /** The name that `/proc` shows (`'fdwire'`; at most 249 bytes). */
  name?: string | undefined
  /** Whether to seal the memfd against every change (default: true, or false if `content` is a size). */
  seal?: boolean | undefined
}

/** The longest name that the kernel accepts (bytes). */
const MAX_NAME = 249

/**
 * Creates a memfd that contains `content`: bytes, a string as UTF-8, or that number of zero bytes.
 *
 * Returns a set whose only entry is its descriptor: send it, take it, or close the set.
 *
 * # Errors
 * TypeError, RangeError, ERR_FDWIRE_ILL_FORMED_TEXT; EMFILE, ENFILE, ENOMEM.
 */
export function createMemfd(
  content: string | ArrayBufferView | number,
  options: MemfdOptions = NO_OPTIONS,
): FdSet {
  checkCallOptions('createMemfd', options, ['name', 'seal'])
  const name = checkName(options.name)
  const seal = checkBoolean('seal', options.seal, typeof content !== 'number')
  return FdSet.from([environment.createMemfd(name, checkContent(content), seal)])
}

/**
 * Seals a memfd: no process can change its size or contents any more.
 *
 * # Errors
 * ERR_FDWIRE_FD_KIND for a descriptor of another kind; EBADF, EPERM for a memfd that cannot be
 * sealed, EBUSY while a process has it mapped for writing.
 */
export function sealMemfd(fd: FdSource): void {
  const number = fdOfSource(fd, 'fd')
  try {
    environment.sealMemfd(number)
  } catch (error) {
    throw memfdError(error as SystemError, 'sealMemfd', number)
  }
}

/**
 * Returns the whole contents of a memfd, whatever its offset is.
 *
 * The Buffer of a sealed memfd maps it without a copy. What you write to the Buffer stays in this
 * process. The contents are copied if the memfd is not sealed (they must not change after
 * JavaScript has read them), has less than 64 KiB, or if 4,096 Buffers map memfds already; and in a
 * worker thread, since Node unmaps memory when the thread ends, even if `buffer.transfer()` has
 * moved it to another one. The caller still owns the descriptor and may close it.
 *
 * # Errors
 * ERR_FDWIRE_FD_KIND for a descriptor of another kind, RangeError for a memfd larger than a Buffer
 * can be; EBADF, EACCES, ENOMEM, and EIO for a memfd that shrank while it was copied.
 */
export function mapMemfd(fd: FdSource): Buffer {
  const number = fdOfSource(fd, 'fd')
  try {
    const content = environment.mapMemfd(number, constants.MAX_LENGTH, isMainThread)
    if (typeof content !== 'number') return content
    const copy = allocateCopy(content)
    environment.readMemfd(number, copy)
    return copy
  } catch (error) {
    throw memfdError(error as SystemError, 'mapMemfd', number)
  }
}

function checkName(name: unknown): string {
  if (name === undefined) return 'fdwire'
  if (typeof name !== 'string') {
    throw new TypeError(`name must be a string, not ${describeValue(name)}`)
  }
  const bytes = Buffer.byteLength(name)
  if (bytes > MAX_NAME) {
    throw new RangeError(`name has ${bytes} bytes: the name of a memfd has at most ${MAX_NAME}`)
  }
  if (!name.isWellFormed()) throw illFormedError('name', name)
  if (name.includes('\0')) throw new RangeError('name must not contain a zero byte')
  return name
}

function checkContent(content: unknown): Uint8Array | number {
  if (typeof content === 'number') {
    return checkInteger('The size', content, 0, 0, Number.MAX_SAFE_INTEGER)
  }
  if (typeof content === 'string') {
    if (content.isWellFormed()) return Buffer.from(content)
    throw illFormedError('The text', content)
  }
  if (ArrayBuffer.isView(content)) return asBytes(content)
  throw new TypeError(
    `createMemfd takes a Buffer, another ArrayBufferView, a string or a size, not ${describeValue(content)}`,
  )
}

function allocateCopy(length: number): Buffer {
  try {
    return allocate(length)
  } catch (cause) {
    const hint = `a copy of the memfd has ${length} bytes`
    throw systemError(osConstants.errno.ENOMEM, 'mmap', { hint, cause })
  }
}

/** Returns the error to throw for an error of native code. */
function memfdError(error: SystemError, call: string, fd: number): Error {
  const { code, errno, syscall } = error
  // The kernel's error for a file that cannot have seals.
  if (code === 'EINVAL') {
    const message = `${call} needs a memfd, descriptor ${fd} is of kind '${environment.kindOf(fd)}'`
    return new FdwireError('ERR_FDWIRE_FD_KIND', message)
  }
  if (code === 'EFBIG') {
    return new RangeError(
      `The memfd is larger than a Buffer can be (${constants.MAX_LENGTH} bytes)`,
    )
  }
  const hint = MEMFD_HINTS[code]
  return hint === undefined
    ? error
    : systemError(errno, syscall, { hint: `descriptor ${fd} ${hint}` })
}

const MEMFD_HINTS: Readonly<Record<string, string>> = {
  EBADF: 'is not open',
  EACCES: 'is not open for reading',
  EPERM: 'is a memfd that is sealed already, is open for reading only, or does not allow seals',
  EBUSY: 'is a memfd that a process has mapped for writing',
  EIO: 'is a memfd that became shorter while it was copied',
}
