import { describe, expect, it } from 'vitest'
import {
  checkListenFd,
  checkTcp,
  encodeAddress,
  isListenFd,
  isTcp,
} from '../../lib/options/address.js'

/** Checks an address as a program without types may pass it. */
const tcp = (address: unknown, leastPort?: 0 | 1) =>
  checkTcp(address as never, 'The address', leastPort)

describe('the kinds of addresses', () => {
  it('are distinguished by their properties', () => {
    const path = ['/x', '', '\0x', Buffer.from('/x'), new Uint8Array(2)]
    const neither = [undefined, null, 3, {}, ['/x'], () => 1, { path: '/x' }]
    for (const address of [...path, ...neither]) {
      expect(isTcp(address) || isListenFd(address)).toBe(false)
    }
    for (const address of [{ host: 'x', port: 1 }, { host: 'x' }, { port: 1 }]) {
      expect(isTcp(address)).toBe(true)
    }
    expect(isListenFd({ fd: 3 })).toBe(true)
    expect(isListenFd({ fd: 3, port: 1 })).toBe(false)
  })
})

describe('a TCP address', () => {
  it('is returned unchanged', () => {
    for (const host of ['localhost', '127.0.0.1', '::1', 'fe80::1%eth0', 'bücher.example']) {
      for (const port of [0, 1, 65_535]) expect(tcp({ host, port })).toEqual({ host, port })
    }
    expect(tcp({ host: 'x', port: 1, path: undefined })).toEqual({ host: 'x', port: 1 })
  })

  it.each([{ port: 1 }, { host: '', port: 1 }, { host: undefined, port: 1 }])(
    'must have a host: %o',
    address => {
      expect(() => tcp(address)).toThrow(
        new TypeError(
          "The address needs a host: 'localhost' is this machine alone, '::' listens on all interfaces",
        ),
      )
    },
  )

  it.each([
    [{ host: null, port: 1 }, 'host must be a string, not null'],
    [{ host: 1, port: 1 }, 'host must be a string, not 1'],
    [{ host: 'x' }, 'The address needs a port'],
    [{ host: 'x', port: '80' }, "port must be a number, not '80'"],
    [{ host: 'x', port: null }, 'port must be a number, not null'],
    [{ host: 'x', port: 1, path: '/x' }, 'The address has no property path: it has host and port'],
    [{ host: 'x', port: 1, fd: 3 }, 'The address has no property fd: it has host and port'],
    [
      { port: 1, address: '::', family: 'IPv6' },
      'The address has no property address: it has host and port',
    ],
  ])('is rejected for a value of the wrong type or an unknown property: %o', (address, message) => {
    expect(() => tcp(address)).toThrow(new TypeError(message))
  })

  it.each([-1, 65_536, 1.5, Number.NaN])('is rejected with port %d', port => {
    expect(() => tcp({ host: 'x', port })).toThrow(
      new RangeError(`port must be an integer from 0 to 65535, not ${port}`),
    )
  })

  it('is rejected with port 0 by connect', () => {
    expect(tcp({ host: 'x', port: 1 }, 1).port).toBe(1)
    expect(() => tcp({ host: 'x', port: 0 }, 1)).toThrow(
      new RangeError('port must be an integer from 1 to 65535, not 0'),
    )
  })

  it.each([
    ['a\ud800', 'ERR_FDWIRE_ILL_FORMED_TEXT'],
    ['localhost\0.example', 'ERR_FDWIRE_BAD_ADDRESS'],
  ])('is rejected with an invalid host: %j', (host, code) => {
    expect(() => tcp({ host, port: 1 })).toThrow(expect.objectContaining({ code, fault: 'caller' }))
  })
})

describe('an { fd } address', () => {
  it('is returned as its descriptor', () => {
    expect(checkListenFd({ fd: 0 })).toBe(0)
    expect(checkListenFd({ fd: 0x7fff_ffff })).toBe(0x7fff_ffff)
  })

  it.each([
    [{ fd: '3' }, new TypeError("fd must be a number, not '3'")],
    [{ fd: undefined }, new TypeError('fd must be a number, not undefined')],
    [{ fd: 3, path: '/x' }, new TypeError('The address has no property path: it has fd')],
    [{ fd: -1 }, new RangeError('fd must be an integer from 0 to 2147483647, not -1')],
    [{ fd: 1.5 }, new RangeError('fd must be an integer from 0 to 2147483647, not 1.5')],
  ])('is rejected if it is not a descriptor or has another property: %o', (address, error) => {
    expect(() => checkListenFd(address as never)).toThrow(error)
  })
})

it('rejects an address of the wrong type and names the accepted kinds', () => {
  const kinds = "a path, '\\0' and an abstract name"
  expect(() => encodeAddress(3, 'localAddress')).toThrow(
    new TypeError(`localAddress must be ${kinds}, or a Buffer, not 3`),
  )
  expect(() => encodeAddress({}, 'The address', '{ host, port }')).toThrow(
    new TypeError(`The address must be ${kinds}, a Buffer or { host, port }, not an object`),
  )
})
