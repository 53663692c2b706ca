/** Checks the options of the functions that make a channel, a listener or a codec. */

import { checkIsObject, describeValue, quote } from '../util/checks.js'
import { isListenFd, isTcp } from './address.js'
import { checkOptionNames, checkSocketType } from './applicability.js'
import type { CheckedValue, Opener, OptionContext, OptionSpec, Target } from './option.js'
import { type Empty, emptyOf, PROTOCOL_NAMES, rowOf } from './protocols.js'
import { OPTION_NAMES, OPTIONS, type OptionName } from './table.js'
import { contextOf } from './transport.js'

export { checkIsObject } from '../util/checks.js'
export * from './calls.js'
export type { Opener, Target } from './option.js'
export * from './protocols.js'
export type * from './types.js'
export { checkSignal, checkTimeout } from './wait.js'

/**
 * The options of a channel, a listener or a codec, checked and with their defaults.
 *
 * Native code reads the fields that its own `ChannelOptions` declares. An option that the call does
 * not have has its default.
 */
export type CheckedOptions = {
  [Name in OptionName]: CheckedValue<(typeof OPTIONS)[Name]>
} & {
  /** What `send` does with an empty message. */
  empty: Empty
  /** Whether errors must not show a sample of a message, which may contain keys. */
  redacted: boolean
  /** Whether payloads are text. */
  text: boolean
  /** Whether payloads are JSON. */
  json: boolean
}

type Given = Readonly<Record<string, unknown>>

/**
 * Checks the options of a function that makes a channel, a listener or a codec, and fills in the
 * defaults.
 *
 * `address` is the address that was passed to `connect` or `listen`, valid or not. If a socket was
 * passed instead, call this once before its family is known, and again with its family as `target`.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkOptions(
  opener: Opener,
  options: unknown,
  address?: unknown,
  target: Target = targetOf(opener, address),
): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    const names = PROTOCOL_NAMES.map(quote).join(', ')
    throw new TypeError(
      `${opener} needs options with a protocol, one of ${names}, not ${describeValue(options)}`,
    )
  }
  const given = options as Given
  const last = lastChecked[target].get(opener)
  if (last !== undefined && isSame(given, last)) return last.checked
  const context = contextOf(opener, given, target)
  checkSocketType(context)
  checkOptionNames(given, context)
  const names: string[] = []
  const values: unknown[] = []
  const checked: Record<string, unknown> = { ...defaultsFor(context) }
  for (const name in given) {
    const value = given[name]
    names.push(name)
    values.push(value)
    // A name that is not an option is a property of Object.prototype, which the program has added.
    if (value === undefined || !Object.hasOwn(OPTIONS, name)) continue
    checked[name] = OPTIONS[name as OptionName].check(name, value, context)
  }
  const complete = withDerived(checked as CheckedOptions, context)
  if (canBeShared(complete)) lastChecked[target].set(opener, { names, values, checked: complete })
  return complete
}

/**
 * The options that were checked last, by target and function. A program that makes many connections
 * passes equal options for each: the channels share one object, and the options are checked once.
 */
const lastChecked: Record<Target, Map<Opener, LastChecked>> = {
  unix: new Map(),
  tcp: new Map(),
  fd: new Map(),
}

interface LastChecked {
  names: string[]
  values: unknown[]
  checked: CheckedOptions
}

/** Whether an object has the same options with the same values, in the same order. */
function isSame(given: Given, { names, values }: LastChecked): boolean {
  let at = 0
  for (const name in given) {
    if (names[at] !== name || values[at] !== given[name]) return false
    at++
  }
  return at === names.length
}

/** Whether the options can be cached: they hold no function, signal or buffer of the program. */
function canBeShared(checked: CheckedOptions): boolean {
  const { signal, head, allowPeer, onMalformed, delimiter, encoding, reconnect } = checked
  return (
    typeof delimiter === 'string' &&
    typeof encoding !== 'object' &&
    typeof encoding !== 'function' &&
    reconnect === undefined &&
    signal === undefined &&
    head === undefined &&
    allowPeer === undefined &&
    onMalformed === undefined
  )
}

/**
 * Checks the arguments of `new Codec(protocol, options)`.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkCodecOptions(protocol: unknown, options: object): CheckedOptions {
  checkIsObject('Codec', options)
  if ((options as Given).protocol !== undefined) {
    throw new TypeError('Codec has no option protocol: it is the first argument')
  }
  return checkOptions(
    'Codec',
    Object.create(options, { protocol: { value: protocol, enumerable: true } }),
  )
}

const defaults = new Map<string, CheckedOptions>()

/** Returns the defaults of all options. They are computed once per context. */
function defaultsFor(context: OptionContext): CheckedOptions {
  const { opener, protocol, type, target } = context
  const key = `${opener} ${protocol} ${type} ${target}`
  let known = defaults.get(key)
  if (known === undefined) {
    known = Object.fromEntries([
      ...OPTION_NAMES.map(name => [name, defaultOf(OPTIONS[name], context)]),
      // The fields that `withDerived` sets: all objects have the same shape from the start.
      ...['empty', 'text', 'json', 'redacted'].map(name => [name, undefined]),
    ]) as CheckedOptions
    defaults.set(key, known)
  }
  return known
}

function defaultOf(spec: OptionSpec, context: OptionContext): unknown {
  return typeof spec.default === 'function' ? spec.default(context) : spec.default
}

/** Sets the fields that follow from the options. Returns the same object. */
function withDerived(checked: CheckedOptions, { opener }: OptionContext): CheckedOptions {
  const { protocol, type, encoding, allowEmpty } = checked
  checked.text = encoding === 'text' || encoding === 'json'
  checked.json = encoding === 'json'
  checked.redacted = rowOf(protocol).redacted === true
  const empty = emptyOf(protocol, type)
  // A codec does not know the receiver, so it encodes the frame that `send` refuses.
  const isSent = allowEmpty || (opener === 'Codec' && empty === 'refused')
  checked.empty = isSent ? 'sent' : empty
  return checked
}

function targetOf(opener: Opener, address: unknown): Target {
  if (opener === 'adopt') return 'fd'
  if ((opener === 'listen' || opener === 'bind') && isListenFd(address)) return 'fd'
  return isTcp(address) ? 'tcp' : 'unix'
}
