// Describes options: default, range, and where they apply, from the modules that check them.
import { checkSocketType, optionsOf } from '../../dist/lib/options/applicability.js'
import { OPENERS } from '../../dist/lib/options/option.js'
import { PROTOCOL_NAMES, PROTOCOLS } from '../../dist/lib/options/protocols.js'
import { OPTIONS } from '../../dist/lib/options/table.js'
import { cell, code, joinLines, typeTitle } from './text.mjs'

export { OPENERS, OPTIONS }

const UNITS = ['bytes', 'ms', 'µs']
const MAX = 2 ** 31 - 1
const TARGETS = ['unix', 'tcp', 'fd']

/** Every valid combination of function, protocol, socket type and address family. */
const CONTEXTS = OPENERS.flatMap(opener =>
  PROTOCOL_NAMES.flatMap(protocol =>
    PROTOCOLS[protocol].types.flatMap(type =>
      TARGETS.map(target => ({ opener, protocol, type, target })).filter(isValid),
    ),
  ),
)

function isValid(context) {
  try {
    checkSocketType(context)
    return true
  } catch {
    return false
  }
}

/** Returns the options of a function, in the order of the table. */
export function optionsOfFunction(opener) {
  const some = CONTEXTS.filter(context => context.opener === opener).flatMap(optionsOf)
  // The protocol of a codec is its first argument.
  const isOption = name => some.includes(name) && !(opener === 'Codec' && name === 'protocol')
  return Object.keys(OPTIONS).filter(isOption)
}

/**
 * Returns the cells of an option that a function checks: type with unit and range, default,
 * description with where it applies. Throws if the doc comment does not state the default of the code.
 */
export function describeOption({ name, doc, node, isOptional }, page, aliases) {
  const contexts = CONTEXTS.filter(context => optionsOf(context).includes(name))
  const { unit, notes, stated, rest } = parseDoc(doc)
  const fallback = isOptional ? defaultOf(name, contexts, unit) : 'required'
  // The functions have the option `timeout` in common with calls that have other defaults.
  const isValue = /^(?:`[^`]*`|[\d,]+(?: [KM]iB)?)$/.test(fallback) && name !== 'timeout'
  if (isValue && stated?.replaceAll('`', '') !== fallback.replaceAll('`', '')) {
    throw new Error(`${name}: the doc comment states the default ${stated}, the code ${fallback}`)
  }
  const details = [unit, rangeOf(name, contexts[0])].filter(one => one !== undefined && one !== '')
  const applies = appliesTo(name)
  const text = described(rest, notes, page)
  return {
    type: [typeTitle(node, aliases), ...details].join(', '),
    default: fallback ?? stated ?? 'none',
    description: applies === '' ? text : `${text}<br>For ${applies}.`,
  }
}

/** Returns the cells of an option of another interface, from its doc comment. */
export function describeProperty({ doc, node, isOptional }, page, aliases) {
  const { unit, notes, stated, rest } = parseDoc(doc)
  return {
    type: [typeTitle(node, aliases), ...(unit === undefined ? [] : [unit])].join(', '),
    default: isOptional ? defaultTitle(stated) : 'required',
    description: described(rest, notes, page),
  }
}

/** Returns a default that a doc comment states; values of JavaScript as code. */
function defaultTitle(stated = 'none') {
  return /^(?:'|true$|false$|\[\])/.test(stated) ? code(stated) : stated
}

function described(rest, notes, page) {
  const text = rest.replace(/^[a-z_]+: ([a-z])/, (_, first) => first)
  const upper = text[0]?.toUpperCase() + text.slice(1)
  return cell(notes === undefined ? upper : `${upper.replace(/\.?$/, '.')} ${notes}`, page)
}

/**
 * Parses the parenthesis of a doc comment that states unit and default: `(ms, 30,000; 0: no limit)`.
 * `rest` is the comment without it.
 */
function parseDoc(doc) {
  const text = joinLines(doc)
  const units = UNITS.join('|')
  const pattern = new RegExp(
    ` \\((?:(${units})(?=[,;)]))?(?:, )?(?:default: )?((?:[^();]|\\(\\))*?)(?:; ([^()]*))?\\)`,
    'g',
  )
  for (const match of text.matchAll(pattern)) {
    const [whole, unit, value = '', notes] = match
    const isDefault =
      unit !== undefined ||
      whole.startsWith(' (default: ') ||
      /^(?:(?:default )?\d[\d,]*(?: [KM]iB)?(?:: .*)?|0o\d+|true|false|none|\[\]|`?'[^']*'`?)$/.test(
        value,
      )
    if (!isDefault) continue
    const [, stated, meaning] = /^(?:default )?(\d[\d,]*): (.*)$/.exec(value) ?? [
      undefined,
      value,
      undefined,
    ]
    const said = [meaning === undefined ? undefined : `${stated}: ${meaning}`, notes]
    const rest = text.replace(whole, '')
    return {
      unit,
      stated: stated === '' ? undefined : stated,
      notes:
        said
          .filter(one => one !== undefined)
          .map(sentence)
          .join(' ') || undefined,
      rest,
    }
  }
  return { rest: text }
}

const sentence = text => `${text[0].toUpperCase()}${text.slice(1)}.`

/** Returns the default of an option; undefined if it has none. */
function defaultOf(name, contexts, unit) {
  const { default: value } = OPTIONS[name]
  if (typeof value !== 'function')
    return value === undefined ? undefined : format(name, value, unit)
  if (contexts.every(context => value(context) === context.type)) return "the protocol's first"
  const by = key => groupBy(contexts, context => context[key])
  const all = new Set(contexts.map(value))
  if (all.size === 1) return format(name, [...all][0], unit)
  if (all.size > 2) return "the protocol's first"
  for (const key of ['type', 'protocol']) {
    const groups = [...by(key)].map(([one, some]) => [one, new Set(some.map(value))])
    if (!groups.every(([, values]) => values.size === 1)) continue
    const [few, many] = [...all]
      .map(one => [one, groups.filter(([, values]) => values.has(one)).map(([which]) => which)])
      .sort(([, a], [, b]) => a.length - b.length)
    return `${format(name, few[0], unit)} for ${few[1].map(one => code(one)).join(', ')}, else ${format(name, many[0], unit)}`
  }
  throw new Error(`${name}: the default depends on more than type or protocol`)
}

/** Formats a default: `64 KiB`, `30,000`, `0o600`, `'stale'`, `false`. */
function format(name, value, unit) {
  if (typeof value === 'string') return code(`'${JSON.stringify(value).slice(1, -1)}'`)
  if (typeof value !== 'number') return code(String(value))
  if (name === 'mode' && value > 0) return `0o${value.toString(8)}`
  if (unit === 'bytes' && value > 0) {
    if (value % 2 ** 20 === 0) return `${value / 2 ** 20} MiB`
    if (value % 2 ** 10 === 0) return `${value / 2 ** 10} KiB`
  }
  return value.toLocaleString('en-US')
}

/** Returns the values that the check of an option accepts, as its own error message states them. */
function rangeOf(name, context) {
  for (const wrong of [Number.NaN, '']) {
    try {
      OPTIONS[name].check(name, wrong, context)
    } catch (error) {
      if (!(error instanceof RangeError)) continue
      const [, least, most] = /integer from (-?\d+) to (-?\d+)/.exec(error.message) ?? []
      if (least === undefined) return /\d+ to \d+ bytes/.exec(error.message)?.[0] ?? ''
      const number = text => format(name, Number(text))
      if (Math.abs(Number(least)) === Number.MAX_SAFE_INTEGER) return 'any safe integer'
      return Number(most) === MAX ? `from ${number(least)}` : `${number(least)} to ${number(most)}`
    }
  }
  return ''
}

/**
 * Returns the functions, protocols, socket types and address families that have an option, or '' for all.
 */
function appliesTo(name) {
  const { of, protocols, types, on } = OPTIONS[name]
  const list = some => some.map(one => code(one)).join(', ')
  const others = OPENERS.filter(opener => !of.includes(opener))
  const functions =
    others.length === 0 ? undefined : others.length < 3 ? `all but ${list(others)}` : list(of)
  const conditions = [
    functions,
    protocols === undefined ? undefined : list(protocols),
    types === undefined ? undefined : types.join(', '),
    on === undefined ? undefined : on.includes('unix') ? 'Unix' : 'TCP',
  ]
  return conditions.filter(one => one !== undefined).join('; ')
}

/** Groups a list by a key, in the order of the first elements. */
export function groupBy(list, keyOf) {
  const groups = new Map()
  for (const one of list) {
    const key = keyOf(one)
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  return groups
}
