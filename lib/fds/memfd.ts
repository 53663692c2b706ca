/** Files in memory, whose descriptors carry bytes to other processes. */

import { constants } from 'node:buffer'
import { environment } from '../native/environment.js'
import { checkCallOptions } from '../options/check.js'
import { asBytes, checkBoolean, checkInteger, describeValue } from '../util/checks.js'
import { errorCode, FdwireError } from '../util/errors.js'
import { type FdSource, numberOf } from './borrow.js'
import { FdSet } from './fdset.js'

/** What a memfd is made with. */
export interface MemfdOptions {
  /** What it is called in `/proc` (`'fdwire'`; 249 bytes at most). */
  name?: string | undefined
  /** Whether nobody can change it any more (true for bytes, false for a size). */
  seal?: boolean | undefined
}

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
  return FdSet.from([environment.createMemfd(name, checkContent(content), seal)])
}

/**
 * Seals a file in memory: neither its size nor its contents change any more, for anybody.
 *
 * # Errors
 * ERR_FDWIRE_FD_KIND for what is no file in memory; EPERM for one that can't be sealed, EBUSY while
 * somebody has it mapped for writing.
 */
export function sealMemfd(fd: FdSource): void {
  const number = numberOf(fd, 'fd')
  try {
    environment.sealMemfd(number)
  } catch (error) {
    throw explain(error)
  }
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
  const number = numberOf(fd, 'fd')
  try {
    return environment.mapMemfd(number, constants.MAX_LENGTH)
  } catch (error) {
    throw explain(error)
  }
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

/** Returns the error for a descriptor that is not one of a memfd, or of one that is too large. */
function explain(error: unknown): unknown {
  switch (errorCode(error)) {
    case 'EINVAL':
      return new FdwireError('ERR_FDWIRE_FD_KIND', 'The descriptor is not one of a memfd')
    case 'EFBIG':
      return new RangeError('The memfd has more bytes than a Buffer can have')
    default:
      return error
  }
}
