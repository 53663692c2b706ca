/**
 * Buffer methods, as they are when fdwire loads.
 *
 * A program may replace them later. That must not affect the code that reads the records of a turn.
 */

/** Methods of Buffer that `toString` calls. @types/node does not declare them. */
interface Sliceable extends Buffer {
  latin1Slice(start?: number, end?: number): string
  utf8Slice(start?: number, end?: number): string
}

const { copy, latin1Slice, readInt32LE, readUInt32LE, subarray, utf8Slice } =
  Buffer.prototype as Sliceable
const indexOf = Buffer.prototype.indexOf as (this: Uint8Array, part: Uint8Array) => number
const { allocUnsafeSlow, from } = Buffer
const { includes } = String.prototype
const { includes: includesByte, set } = Uint8Array.prototype
const lengthGetter = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  'length',
)?.get as () => number

/** Parses a JSON text. */
export const parseJson = JSON.parse

/** Copies the bytes from `start` to `end` (exclusive) into `target`, beginning at `at`. */
export function copyBytes(
  bytes: Buffer,
  target: Uint8Array,
  at: number,
  start: number,
  end: number,
): void {
  copy.call(bytes, target, at, start, end)
}

/** Copies all of `bytes` into `target`, beginning at `at`. */
export function setBytes(target: Uint8Array, bytes: Uint8Array, at: number): void {
  set.call(target, bytes, at)
}

/** Returns the length of a typed array, even if the program has overridden its property. */
export function lengthOf(bytes: Uint8Array): number {
  return lengthGetter.call(bytes)
}

/** Whether a text contains another one. */
export function includesText(text: string, part: string): boolean {
  return includes.call(text, part)
}

/** Whether bytes contain one byte, or several in this order. */
export function includesBytes(bytes: Uint8Array, part: number | Buffer): boolean {
  return typeof part === 'number' ? includesByte.call(bytes, part) : indexOf.call(bytes, part) >= 0
}

/**
 * Returns uninitialised memory of V8, which no other Buffer shares. Throws a RangeError if it cannot
 * be allocated.
 */
export function allocate(length: number): Buffer {
  return allocUnsafeSlow(length)
}

/** Returns the bytes of a view as a Buffer, without a copy. */
export function bufferOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return from(buffer as ArrayBuffer, byteOffset, byteLength)
}

/** Returns a copy of bytes. */
export function copyOf(bytes: Uint8Array): Buffer {
  return from(bytes)
}

/** Returns the text of bytes that are all below 0x80. */
export function sliceAscii(bytes: Uint8Array, start?: number, end?: number): string {
  return latin1Slice.call(bytes, start, end)
}

/** Returns the text of bytes in UTF-8. */
export function sliceUtf8(bytes: Uint8Array, start?: number, end?: number): string {
  return utf8Slice.call(bytes, start, end)
}

/** Returns a view of the bytes from `start` to `end` (exclusive). */
export function viewOf(bytes: Uint8Array, start: number, end?: number): Buffer {
  return subarray.call(bytes, start, end)
}

/** Returns the signed number of four bytes at `place`. */
export function readInt32(bytes: Uint8Array, place: number): number {
  return readInt32LE.call(bytes, place)
}

/** Returns the unsigned number of four bytes at `place`. */
export function readUint32(bytes: Uint8Array, place: number): number {
  return readUInt32LE.call(bytes, place)
}
