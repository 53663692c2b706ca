/** The service protocol with messages recorded from the original. */
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

// biome-ignore lint/suspicious/noExplicitAny: messages of any form
type Json = any

const vectors = JSON.parse(readFileSync(testPath('../vectors/jsoncomm_host.json'), 'utf8')) as {
  encode: { case: string; wire: Json }[]
  decode: { message: Json; outcome: string }[]
  service: { request: Json; replies: { message: Json; fds: number }[] | null }[]
  client: { messages: Json[]; outcome: string; signals: Json[] }[]
}

/** Returns rows for `it.each` whose title is the JSON of a message. */
const titled = <Row>(rows: Row[], message: (row: Row) => Json) =>
  rows.map(row => [JSON.stringify(message(row)), row] as const)

class ValueError extends Error {}

/** The methods of the service with which the vectors were recorded. */
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

describe('the service protocol encodes', () => {
  it.each(vectors.encode.map(row => [row.case, row] as const))('%s', async (_, { wire }) => {
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

describe('the service protocol decodes', () => {
  it.each(titled(vectors.decode, row => row.message))('%s', (_, { message, outcome }) => {
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

describe('a Service replies as the original does to', () => {
  it.each(titled(vectors.service, row => row.request))('%s', async (_, { request, replies }) => {
    const [client, socket] = clientAndSocket()
    const service = new InProcessService(socket, dispatch)
    const serving = service.serve()
    // The test uses the client's socket directly.
    const { socket: clientSocket } = client
    await clientSocket.send(request)
    if (replies === null) {
      expect(await clientSocket.recv()).toBeNull()
      await serving
      return
    }
    for (const { message, fds } of replies) {
      const received = (await clientSocket.recv()) as Received
      expect(received.payload).toMatchObject(message)
      const isReply = request.data.name === 'sig' && message.type === 'reply'
      expect(received.fds.length).toBe(isReply ? 1 : fds)
      received.fds.close()
    }
    await client.stop()
    await serving
  })
})

describe('a ServiceClient handles as the original does', () => {
  it.each(titled(vectors.client, row => row.messages))('%s', async (_, row) => {
    const { messages, outcome, signals } = row
    const [client, socket] = clientAndSocket()
    const received: unknown[] = []
    const call = client.call('m', [], { onSignal: value => received.push(value) })
    for (const message of messages) await socket.send(message)
    const result = await call.catch(outcomeOf)
    expect([String(result), received]).toEqual([outcome, signals])
    await socket.close()
  })
})
