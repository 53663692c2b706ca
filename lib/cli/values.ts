import { isUtf8 } from 'node:buffer'
import { UsageError } from './errors.js'

/** How a typed value becomes a message: parsed as JSON, taken as text, or decoded from hex. */
export type ValueForm = 'json' | 'text' | 'hex'

/**
 * Parses a typed value.
 *
 * As JSON, a text that is not valid JSON is a string, so that quotes are rarely needed.
 */
export function parseValue(text: string, form: ValueForm): unknown {
  if (form === 'text') return text
  if (form === 'hex') {
    const digits = text.replaceAll(/\s/g, '')
    if (/^(?:[\da-f]{2})*$/i.test(digits)) return Buffer.from(digits, 'hex')
    throw new UsageError(`'${text}' is not hexadecimal`)
  }
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Returns a received value as people read it. */
export function formatValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (!(value instanceof Uint8Array)) return JSON.stringify(value) ?? String(value)
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  return isUtf8(bytes) ? JSON.stringify(bytes.toString()) : `hex ${bytes.toString('hex')}`
}

/** Returns a received value for `--json`: bytes are `{ text }` or `{ hex }`. */
export function valueForJson(value: unknown): unknown {
  if (!(value instanceof Uint8Array)) return value
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  return isUtf8(bytes) ? { text: bytes.toString() } : { hex: bytes.toString('hex') }
}

/** Returns a received value as the text that a program gets. */
export function valueAsText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  return JSON.stringify(value) ?? ''
}

/**
 * Returns at most `length` characters of a message in a foreign protocol. Bytes that are not text
 * show each printable ASCII character, and a dot for every other byte.
 */
export function previewOf(value: unknown, length: number): string {
  const text = value instanceof Uint8Array ? asciiOf(value) : formatValue(value)
  return text.length > length ? `${text.slice(0, length)}…` : text
}

function asciiOf(value: Uint8Array): string {
  const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')
  return /^[\t\n\r\x20-\x7e]*$/.test(text)
    ? JSON.stringify(text)
    : text.replaceAll(/[^\x20-\x7e]/g, '.')
}
