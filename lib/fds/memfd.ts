/** Files in memory, whose descriptors carry bytes to other processes. */

import { constants } from 'node:buffer'
import { constants as osConstants } from 'node:os'
import { environment } from '../native/environment.js'
import { checkCallOptions } from '../options/check.js'
import { asBytes, checkBoolean, checkInteger, describeValue } from '../util/checks.js'
import { FdwireError, systemError } from '../util/errors.js'
import { type FdSource, numberOf } from './borrow.js'
import { FdSet } from './fdset.js'

/** What a memfd is made with. */
export interface MemfdOptions {
  /** What it is called in `/proc` (`'fdwire'`; 249 bytes at most). */
  name?: string | undefined
  /** Whether nobody can change it any more (true for bytes, false for a size). */
  seal?: boolean | undefined
}

const { EINVAL, EFBIG } = osConstants.errno

/** The longest name that the kernel takes (bytes). */
const MAX_NAME = 249

/**
 * Makes a file in memory that holds `content`: bytes, a text as UTF-8, or so many zero bytes.
 *
 * Its descriptor is the only entry of the set, to be sent along, taken, or closed with it.
 *
 * # Errors
 * TypeError, RangeError; EMFILE, ENFILE, ENOMEM.
 */
export function createMemfd(
  content: string | ArrayBufferView | number,
  options: MemfdOptions = {},
): FdSet {
  checkCallOptions('createMemfd', options, ['name', 'seal'])
  const name = checkName(options.name)
  const seal = checkBoolean('seal', options.seal, typeof content !== 'number')
  const fd = environment.createMemfd(name, checkContent(content), seal)
  if (fd < 0) throw systemError(-fd, 'memfd_create')
  return FdSet.from([fd])
}

/**
 * Seals a file in memory: neither its size nor its contents change any more, for anybody.
 *
 * # Errors
 * ERR_FDWIRE_FD_KIND for what is no file in memory; EPERM for one that can't be sealed, EBUSY while
 * somebody has it mapped for writing.
 */
export function sealMemfd(fd: FdSource): void {
  const errno = environment.sealMemfd(numberOf(fd, 'fd'))
  if (errno !== 0) throw failed(errno, 'fcntl')
}

/**
 * What is in a file in memory, from its beginning, wherever its offset is.
 *
 * Of a sealed one the Buffer is the file itself, so that nothing is copied; what you write to it
 * stays in this process. One that can still be changed is copied: nobody shall change bytes that
 * JavaScript has looked at. So is one of less than 64 KiB, and every one where 4,096 Buffers of this
 * thread are files. The descriptor stays yours, and may be closed.
 *
 * # Errors
 * ERR_FDWIRE_FD_KIND for what is no file in memory, RangeError for one that no Buffer can hold;
 * EBADF, EACCES, ENOMEM, and EIO for one that became shorter while it was copied.
 */
export function mapMemfd(fd: FdSource): Buffer {
  const mapped = environment.mapMemfd(numberOf(fd, 'fd'), constants.MAX_LENGTH)
  if (typeof mapped === 'number') throw failed(mapped, 'mmap')
  return mapped
}

function checkName(name: unknown): string {
  if (name === undefined) return 'fdwire'
  if (typeof name !== 'string')
    throw new TypeError(`name must be a string, not ${describeValue(name)}`)
  if (Buffer.byteLength(name) <= MAX_NAME && !name.includes('\0')) return name
  throw new RangeError(`name must have at most ${MAX_NAME} bytes, and no zero byte`)
}

function checkContent(content: unknown): Uint8Array | number {
  if (typeof content === 'number') {
    return checkInteger('The size', content, 0, 0, Number.MAX_SAFE_INTEGER)
  }
  if (typeof content === 'string') {
    if (content.isWellFormed()) return Buffer.from(content)
    throw new FdwireError('ERR_FDWIRE_ILL_FORMED_TEXT', 'The text has a lone surrogate')
  }
  if (ArrayBuffer.isView(content)) return asBytes(content)
  throw new TypeError(
    `createMemfd takes a Buffer, another ArrayBufferView, a string or a size, not ${describeValue(content)}`,
  )
}

/** The kernel knows files in memory by their seals, which others don't have. */
function failed(errno: number, syscall: string): Error {
  if (errno === EINVAL) {
    return new FdwireError('ERR_FDWIRE_FD_KIND', 'The descriptor is no file in memory (memfd)')
  }
  if (errno === EFBIG) return new RangeError('The file is longer than a Buffer can be')
  return systemError(errno, syscall)
}
