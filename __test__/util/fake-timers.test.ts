/**
 * Channels and compatibility modules while fake timers of a test framework replace the global ones.
 */
import { execFile } from 'node:child_process'
import { Duplex, PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { type Channel, over, pair } from 'fdwire'
import { ServiceClient, Socket } from 'fdwire/jsoncomm'
import { ChannelTransport, PureJsonProtocol, SID_READ_REQUEST } from 'fdwire/socket_protocol'
import { Stocking } from 'fdwire/stockings'
import { UdsClient, UdsServer } from 'fdwire/uds_comms'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

const run = promisify(execFile)

const TIMEOUT = { timeout: 5 }
const timesOut = errorWithCode('ERR_FDWIRE_TIMEOUT')

describe('with fake timers', () => {
  it('a channel over a stream receives more messages than one turn can hold', async () => {
    const [forth, back] = [new PassThrough(), new PassThrough()]
    const streams = [
      Duplex.from({ readable: back, writable: forth }),
      Duplex.from({ readable: forth, writable: back }),
    ]
    const [a, b] = streams.map(stream => track(over(stream, { protocol: 'lines' }))) as [
      Channel,
      Channel,
    ]
    const count = 40_000
    let received = 0
    const done = new Promise<void>(resolve => {
      b.on('message', () => {
        if (++received === count) resolve()
      })
    })
    a.sendAll(Array.from({ length: count }, (_, i) => `${i}`))
    await done
    expect(received).toBe(count)
  })

  // In a process of its own, because vitest uses `process.nextTick` in its workers.
  it('a channel sends, receives and closes, also with a fake nextTick and queueMicrotask', async () => {
    const program = `
      import { pair } from 'fdwire'
      const fake = () => {}
      for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']) {
        globalThis[name] = fake
      }
      process.nextTick = fake
      const [a, b] = pair({ protocol: 'lines' })
      a.send('one')
      const events = [(await b.receive()).value]
      for (const name of ['message', 'end', 'error']) b.on(name, () => events.push(name))
      a.close()
      await new Promise(resolve => b.once('close', resolve))
      console.log(events.join())`
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program])
    expect(stdout).toBe('one,end\n')
  })

  it('the handshake of a Stocking times out', async () => {
    const [a] = pair({ protocol: 'stockings' }).map(track)
    class Silent extends Stocking {
      override handshake() {
        return this._read()
      }
    }
    const stocking = new Silent(a as never, { handshakeTimeout: 5 })
    await expect(stocking.ready).rejects.toEqual(timesOut)
  })

  it('a UdsServer and a UdsClient time out', async () => {
    const server = await UdsServer.listen(`${temporaryDirectory()}/socket`)
    await expect(server.waitForConnection(TIMEOUT)).rejects.toEqual(timesOut)
    await server.close()
    const [a] = pair({ protocol: 'uds_comms' }).map(track)
    await expect(UdsClient.over(a as never, TIMEOUT)).rejects.toEqual(timesOut)
  })

  it('a call of a service times out', async () => {
    const [a, b] = Socket.newPair({ type: 'seqpacket' })
    const client = ServiceClient.over(a)
    await expect(client.call('method', [], TIMEOUT)).rejects.toEqual(timesOut)
    await client.stop()
    await b.close()
  })

  it('calls of a protocol object time out', async () => {
    const [a] = pair({ protocol: 'socket_protocol', encoding: 'buffer' }).map(track)
    const protocol = new PureJsonProtocol(new ChannelTransport(a as never))
    expect(await protocol.receive(SID_READ_REQUEST, 0, TIMEOUT)).toBe(null)
    await expect(protocol.request(SID_READ_REQUEST, 0, null, TIMEOUT)).rejects.toEqual(timesOut)
    await protocol.close()
  })
})
