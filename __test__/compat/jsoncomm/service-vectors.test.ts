/** The service protocol in the original's own messages. */
import { readFileSync } from 'node:fs'
import { type FdSet, ProtocolError, type Received, RemoteError } from 'fdwire/jsoncomm'
import { describe, expect, it } from 'vitest'
import { decodeMessage, encodeReply } from '../../../lib/compat/jsoncomm/service-messages.js'
import { cleanUpAfterEach, testPath } from '../../support/processes.js'
import {
  cleanUpServices,
  clientAndSocket,
  InProcessService,
  openTextFile,
} from '../../support/service.js'

cleanUpAfterEach()
cleanUpServices()

// biome-ignore lint/suspicious/noExplicitAny: whatever the messages are
type Json = any

const vectors = JSON.parse(readFileSync(testPath('../vectors/jsoncomm_host.json'), 'utf8')) as {
  encode: { case: string; wire: Json }[]
  decode: { message: Json; outcome: string }[]
  service: { request: Json; replies: { message: Json; fds: number }[] | null }[]
  client: { messages: Json[]; outcome: string; signals: Json[] }[]
}

class ValueError extends Error {}

/** The service that the vectors were made with. */
async function dispatch(this: InProcessService, method: string, args: Json, _fds: FdSet) {
  switch (method) {
    case 'echo':
      return [args] as const
    case 'boom':
      throw new ValueError('Remote Exception')
    case 'sig': {
      await this.emitSignal(0)
      const fd = openTextFile('p')
      await this.emitSignal({ p: 1 }, [fd])
      return [null, [fd]] as const
    }
    default:
      throw new ProtocolError('Unknown method')
  }
}

const outcomeOf = (error: Error) =>
  `${error instanceof RemoteError ? 'RemoteError' : error.name}: ${error.message}`

describe('what goes over the wire', () => {
  it.each(vectors.encode)('$case', async ({ wire }) => {
    if (wire.type === 'method') {
      const [client, socket] = clientAndSocket()
      const call = client.call(wire.data.name, wire.data.args)
      expect((await socket.recv())?.payload).toEqual(wire)
      await socket.send({ type: 'reply', data: { reply: null } })
      await call
      await socket.close()
    } else if (wire.type === 'exception') {
      const [client, socket] = clientAndSocket()
      const call = client.call('anything')
      await socket.send(wire)
      await expect(call).rejects.toMatchObject(wire.data)
      await socket.close()
    } else {
      expect(encodeReply(wire.type, wire.data.reply)).toEqual(wire)
    }
  })
})

describe('what becomes of a message', () => {
  it.each(vectors.decode)('$message', ({ message, outcome }) => {
    let actual: string
    try {
      const { type, data } = decodeMessage(message)
      expect([type, data]).toEqual([message.type, message.data])
      actual = "('x', {'a': 1})"
    } catch (error) {
      actual = outcomeOf(error as Error)
    }
    expect(actual).toBe(outcome)
  })
})

describe('what a service answers', () => {
  it.each(vectors.service)('$request', async ({ request, replies }) => {
    const [client, socket] = clientAndSocket()
    const service = new InProcessService(socket, dispatch)
    const serving = service.serve()
    // The client's own socket, by hand; one descriptor with the reply is closed as ours.
    const { socket: hand } = client
    await hand.send(request)
    if (replies === null) {
      expect(await hand.recv()).toBeNull()
      await serving
      return
    }
    for (const { message, fds } of replies) {
      const got = (await hand.recv()) as Received
      expect(got.payload).toMatchObject(message)
      const isReply = request.data.name === 'sig' && message.type === 'reply'
      expect(got.fds.length).toBe(isReply ? 1 : fds)
      got.fds.close()
    }
    await client.stop()
    await serving
  })
})

describe('what a client makes of it', () => {
  it.each(vectors.client)('$messages', async ({ messages, outcome, signals }) => {
    const [client, socket] = clientAndSocket()
    const told: unknown[] = []
    const call = client.call('m', [], { onSignal: value => told.push(value) })
    for (const message of messages) await socket.send(message)
    const result = await call.catch(outcomeOf)
    expect([String(result), told]).toEqual([outcome, signals])
    await socket.close()
  })
})
