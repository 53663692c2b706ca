import { ERROR_CODES, type ErrorCode, FdSet, FdwireError } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { abortError, systemError } from '../../lib/util/errors.js'

const codes = Object.keys(ERROR_CODES) as ErrorCode[]

describe('ERROR_CODES', () => {
  it('gives each code the common prefix, a sentence and a fault', () => {
    for (const code of codes) {
      expect(code).toMatch(/^ERR_FDWIRE_[A-Z0-9_]+$/)
      expect(ERROR_CODES[code].meaning).toMatch(/^[A-Z].*\.$/)
      expect(['peer', 'caller', 'system']).toContain(ERROR_CODES[code].fault)
    }
  })
})

describe('FdwireError', () => {
  it("is an Error with its code and the code's fault", () => {
    for (const code of codes) {
      const error = new FdwireError(code, 'why')
      expect(error).toBeInstanceOf(Error)
      expect(error).toMatchObject({ name: 'FdwireError', code, message: 'why' })
      expect(error.fault).toBe(ERROR_CODES[code].fault)
    }
  })

  it("accepts a fault other than the code's", () => {
    const error = new FdwireError('ERR_FDWIRE_MESSAGE_TOO_LARGE', '', { fault: 'caller' })
    expect(error.fault).toBe('caller')
  })

  it('has own properties only for the details it was given', () => {
    const bare = new FdwireError('ERR_FDWIRE_CLOSED', 'why')
    expect(Object.keys(bare).sort()).toEqual(['code', 'fault'])
    expect('cause' in bare).toBe(false)
    const cause = new Error('the cause')
    const details = { missing: 1, unsent: 2, sent: 3, index: 4, cause }
    expect(new FdwireError('ERR_FDWIRE_CLOSED', 'why', details)).toMatchObject(details)
  })

  it('copies at most 32 bytes of the message as its sample', () => {
    const bytes = new Uint8Array(100).fill(65)
    const { sample } = new FdwireError('ERR_FDWIRE_NOT_JSON', '', { sample: bytes })
    bytes.fill(66)
    expect(sample).toEqual(Buffer.alloc(32, 'A'))
    const short = new FdwireError('ERR_FDWIRE_NOT_JSON', '', { sample: Buffer.from('{') })
    expect(short.sample).toEqual(Buffer.from('{'))
  })

  it('is not thrown for an index out of range, which is a RangeError', () => {
    const fds = FdSet.from([])
    expect(() => fds.get(0)).toThrow(RangeError)
  })
})

describe('a kernel error', () => {
  it("has the shape of Node's errors, for a positive and a negative errno", () => {
    for (const errno of [111, -111]) {
      const error = systemError(errno, 'connect', { path: '/run/app.sock' })
      expect(error.message).toBe('connect ECONNREFUSED /run/app.sock')
      expect({ ...error }).toEqual({
        errno: -111,
        code: 'ECONNREFUSED',
        syscall: 'connect',
        path: '/run/app.sock',
      })
    }
  })

  it('has the right code even if libuv does not know its errno', () => {
    expect(systemError(109, 'sendmsg').code).toBe('ETOOMANYREFS')
    expect(systemError(122, 'write').code).toBe('EDQUOT')
  })

  it('shows an abstract name with @ in its message and unchanged in dest', () => {
    const error = systemError(111, 'sendmsg', { dest: '\0name' })
    expect(error.message).toBe('sendmsg ECONNREFUSED -> @name')
    expect(error.dest).toBe('\0name')
  })
})

describe('an aborted operation', () => {
  it("rejects with an AbortError whose cause is the signal's reason", () => {
    const reason = new Error('enough')
    const error = abortError(AbortSignal.abort(reason))
    expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: reason })
  })
})
