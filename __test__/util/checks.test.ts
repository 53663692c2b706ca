import { describe, expect, it } from 'vitest'
import { checkNames, describeValue, listAnd, listOr, only } from '../../lib/util/checks.js'

describe('checkNames', () => {
  const check = (options: object) => () => checkNames('send', options, only(['fds', 'to']))

  it('accepts known names, and unknown ones whose value is undefined', () => {
    check({})()
    check({ fds: [], to: undefined, from: undefined })()
  })

  it('names the call, the unknown option and the known ones', () => {
    expect(check({ fds: [], from: 1 })).toThrow(
      new TypeError('send has no option from: it has fds and to'),
    )
    expect(check(Object.create({ from: null }))).toThrow(TypeError)
  })

  it('uses another noun where the names are not options', () => {
    expect(() => checkNames('The address', { path: '' }, only(['fd']), 'property')).toThrow(
      new TypeError('The address has no property path: it has fd'),
    )
  })
})

describe('describeValue', () => {
  const VALUES: [unknown, string][] = [
    [undefined, 'undefined'],
    [null, 'null'],
    ['text', "'text'"],
    [1.5, '1.5'],
    [10n, '10n'],
    [Symbol('x'), 'Symbol(x)'],
    [() => 1, 'a function'],
    [{}, 'an object'],
    [Object.create(null), 'an object'],
    [[], 'an instance of Array'],
    [new Map(), 'an instance of Map'],
  ]
  it.each(VALUES)('describes %o', (value, description) => {
    expect(describeValue(value)).toBe(description)
  })

  it('shows at most 80 characters of a string', () => {
    expect(describeValue('x'.repeat(80))).toBe(`'${'x'.repeat(80)}'`)
    expect(describeValue('x'.repeat(1_000))).toBe(`'${'x'.repeat(80)}'… (1000 characters)`)
  })
})

describe('listAnd and listOr', () => {
  it('join names as a sentence does', () => {
    expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(listAnd)).toEqual([
      '',
      'a',
      'a and b',
      'a, b and c',
    ])
    expect(listOr(['a', 'b', 'c'])).toBe('a, b or c')
  })
})
