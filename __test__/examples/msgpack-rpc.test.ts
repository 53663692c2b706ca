/** examples/msgpack-rpc, also with bytes that follow from the specifications alone. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'fdwire'
import { Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const file = useExample('msgpack-rpc')

async function startServer() {
  const socket = join(temporaryDirectory(), 'rpc.sock')
  const server = await AttackedServer.start([file('server'), socket], /^Serving/)
  return { server, socket }
}

describe('the msgpack-rpc example', () => {
  it('calls methods, whose errors reach the caller, and sends a notification', async () => {
    const { server, socket } = await startServer()
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [file('client'), socket])
    expect(stderr).toBe('')
    expect(stdout.trim().split('\n')).toEqual([
      '1 + 2 = 3',
      'abc reversed is cba',
      'Error: Unknown method subtract',
    ])
    expect(await server.line(/^Notification/)).toBe('Notification: done [ 3 ]')
  })

  it('answers a call of the MessagePack-RPC specification, after its length', async () => {
    const { socket } = await startServer()
    const client = track(await connect(socket, { protocol: 'length_prefixed', encoding: 'buffer' }))
    // [0, 7, 'add', [1, 2]], and the answer [1, 7, nil, 3]
    const { value } = await client.request(Buffer.from('940007a3616464920102', 'hex'))
    expect(value.toString('hex')).toBe('940107c003')
  })

  it('survives every attack, with flat descriptors and memory', async () => {
    const { server, socket } = await startServer()
    const options = { encoding: new Packr() }
    const target = { path: socket, protocol: 'length_prefixed', type: 'stream', options } as const
    await expectUnharmed(server, target, async () => {
      const client = track(await connect(socket, { protocol: 'length_prefixed', ...options }))
      const { value } = await client.request([0, 1, 'add', [1, 2]], { timeout: 20_000 })
      expect(value).toEqual([1, 1, null, 3])
      await client.close()
    })
  }, 180_000)
})
