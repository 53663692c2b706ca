/** The npm package vscode-jsonrpc over toDuplex. */
import { once } from 'node:events'
import { join } from 'node:path'
import { type Channel, connect, listen, toDuplex } from 'fdwire'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type CancellationToken,
  CancellationTokenSource,
  createMessageConnection,
  type MessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

/** Makes a JSON-RPC connection over a channel. */
function over(channel: Channel<Buffer>): MessageConnection {
  const stream = toDuplex(track(channel))
  const connection = createMessageConnection(
    new StreamMessageReader(stream),
    new StreamMessageWriter(stream),
  )
  onTestFinished(() => connection.dispose())
  return connection
}

/** Returns the two ends of a JSON-RPC connection over a Unix socket, which do not listen yet. */
async function connectionPair() {
  const path = join(temporaryDirectory(), 'socket')
  const listener = await listen(path, { protocol: 'raw' })
  const accepted = once(listener, 'connection')
  const channel = await connect(path, { protocol: 'raw' })
  const [peer] = (await accepted) as [Channel<Buffer>]
  await listener.close()
  return { client: over(channel), server: over(peer), channel }
}

describe('vscode-jsonrpc over a channel', () => {
  it('carries requests in both directions at once, small and large', async () => {
    const { client, server } = await connectionPair()
    const twice = (text: string) => text + text
    client.onRequest('twice', twice)
    server.onRequest('twice', twice)
    client.listen()
    server.listen()
    const lengths = Array.from({ length: 200 }, (_, i) => (i % 20 === 0 ? 300_000 + i : i))
    const replies = [client, server].flatMap(connection =>
      lengths.map(async length => {
        const reply = await connection.sendRequest<string>('twice', 'é'.repeat(length))
        return reply === 'é'.repeat(2 * length)
      }),
    )
    expect((await Promise.all(replies)).every(Boolean)).toBe(true)
  })

  it('carries notifications in order, errors and cancellation', async () => {
    const { client, server } = await connectionPair()
    const numbers: number[] = []
    server.onNotification('number', (value: number) => {
      numbers.push(value)
    })
    server.onRequest('fail', () => {
      throw new Error('as asked')
    })
    const source = new CancellationTokenSource()
    server.onRequest('wait', (_: object, token: CancellationToken) => {
      source.cancel()
      return new Promise(resolve => token.onCancellationRequested(() => resolve('cancelled')))
    })
    client.listen()
    server.listen()
    for (let i = 0; i < 1_000; i++) await client.sendNotification('number', i)
    await expect(client.sendRequest('fail')).rejects.toThrow('as asked')
    expect(await client.sendRequest('wait', {}, source.token)).toBe('cancelled')
    expect(numbers).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
  })

  it('reports the end of the connection', async () => {
    const { client, server, channel } = await connectionPair()
    client.listen()
    server.listen()
    const closed = new Promise<void>(resolve => server.onClose(resolve))
    const ended = new Promise<void>(resolve => client.onClose(resolve))
    await channel.close()
    await Promise.all([closed, ended])
  })
})
