import { openSync } from 'node:fs'
import { inspect } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import { bind, Codec, FdSet, FdwireError, listen, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { afterTest, runCleanupsAfterEach } from '../support/streams.js'

runCleanupsAfterEach()

/** Returns a set of two open descriptors, which is closed after the test. */
function twoFds(): FdSet {
  const fds = FdSet.from([openSync('/dev/null', 'r'), openSync('/etc/hostname', 'r')])
  afterTest(() => fds.close())
  return fds
}

describe('console.log', () => {
  it('shows protocol, type, addresses, state and queue of a channel', async () => {
    const channel = await bind('\0fdwire inspected', { protocol: 'jsoncomm' })
    const text = inspect(channel)
    expect(text).toMatch(/^Channel \{/)
    for (const part of [
      "protocol: 'jsoncomm'",
      "type: 'dgram'",
      "state: 'open'",
      `fd: ${channel.fd}`,
      "localAddress: '@fdwire inspected'",
      'queued: { messages: 0, bytes: 0, fds: 0 }',
      'openFds: 0',
    ]) {
      expect(text).toContain(part)
    }
    await channel.close()
    expect(inspect(channel)).toContain("state: 'closed'")
    expect(inspect({ a: { b: { c: channel } } })).toContain('[Channel]')
  })

  it('shows protocol, address, state and connections of a listener', async () => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, { protocol: 'lines' })
    const { port } = listener.address as { port: number }
    const text = inspect(listener)
    expect(text).toMatch(/^Listener \{/)
    for (const part of [
      "protocol: 'lines'",
      "type: 'stream'",
      "state: 'listening'",
      `address: '127.0.0.1:${port}'`,
      'connections: 0',
    ]) {
      expect(text).toContain(part)
    }
    await listener.close()
    expect(inspect(listener)).toContain("state: 'closed'")
  })

  it('shows the descriptors of an FdSet with their kinds, and lends none', () => {
    const fds = twoFds()
    const [first, second] = [inspect(fds), inspect(fds)]
    expect(first).toMatch(/^FdSet\(2\) \[ \d+ \(character-device|^FdSet\(2\) \[ \d+ \(/)
    expect(second).toBe(first)
    const number = fds.get(1)
    expect(inspect(fds)).toContain(`${number} (file)`)
    const taken = fds.take(0)
    expect(inspect(fds)).toBe(`FdSet(2) [ taken, ${number} (file) ]`)
    FdSet.from([taken]).close()
    fds.close()
    expect(inspect(fds)).toBe('FdSet(0) [closed]')
  })

  it('shows the code, the fault and the sample of an error as text', () => {
    const errors: Error[] = []
    const codec = new Codec('lines', {
      encoding: 'json',
      onMalformed: error => errors.push(error),
    })
    codec.push(Buffer.from('GET / HTTP/1.1\n'))
    const text = inspect(errors[0])
    expect(text).toMatch(/^FdwireError \[ERR_FDWIRE_NOT_JSON\]: /)
    expect(text).toContain('\n    at ')
    expect(text).toContain("fault: 'peer'")
    expect(text).toContain("sample: 'GET / HTTP/1.1'")
    const caused = new FdwireError('ERR_FDWIRE_CLOSED', 'closed', { cause: new Error('why') })
    expect(inspect(caused)).toContain('Error: why')
  })
})

describe('an FdSet', () => {
  it('cannot become JSON, alone or in a message', () => {
    const fds = twoFds()
    for (const value of [fds, { fds }, pairMessage(fds)]) {
      expect(() => JSON.stringify(value)).toThrow(/^An FdSet cannot be serialized/)
    }
  })

  it('cannot be cloned or posted to a thread', () => {
    const fds = twoFds()
    const { port1, port2 } = new MessageChannel()
    for (const value of [fds, [fds], pairMessage(fds)]) {
      expect(() => structuredClone(value)).toThrow(/An FdSet cannot be serialized/)
      expect(() => port1.postMessage(value)).toThrow(/An FdSet cannot be serialized/)
    }
    port1.close()
    port2.close()
    expect(fds.get(0)).toBeGreaterThan(2)
  })

  it('without descriptors is refused as well', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    a.send('x')
    const message = await b.receive()
    expect(() => structuredClone(message)).toThrow(/An FdSet cannot be serialized/)
    expect(() => JSON.stringify(message)).toThrow(TypeError)
    a.destroy()
    b.destroy()
  })
})

function pairMessage(fds: FdSet) {
  return { value: 1, fds, from: undefined }
}
