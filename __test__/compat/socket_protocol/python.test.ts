/**
 * fdwire/socket_protocol and a Python peer written from docs/protocols/socket_protocol.md alone.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import * as sp from 'fdwire/socket_protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { encodeBody } from '../../../lib/wire/encodings/socket_protocol.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../../support/processes.js'

const { SID_READ_REQUEST: READ, SID_WRITE_REQUEST: WRITE, SID_EXECUTE_REQUEST: EXECUTE } = sp
const SECRET = Buffer.from('c0ffee00112233445566778899aabbccddeeff', 'hex')
const VALUES = [
  null,
  0,
  -1.5,
  'é 😀 :<:=:>',
  '\u0000',
  { a: [true, { b: {} }] },
  'x'.repeat(100_000),
]
const FORMS = {
  pure_json: sp.PureJsonProtocol,
  struct_json: sp.StructJsonProtocol,
} as const
type Form = keyof typeof FORMS
const CASES = (['unix', 'tcp'] as const).flatMap(family =>
  (Object.keys(FORMS) as Form[]).map(form => [family, form] as const),
)

const open: sp.Protocol[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(protocol => protocol.close()))
})

// Vitest runs this hook before the one above, so close() does not wait for a running peer.
cleanUpAfterEach()

function startPython(
  mode: 'connect' | 'listen',
  where: string[],
  form: Form,
  secret: Buffer = SECRET,
) {
  const args = ['-B', testPath('support/peers/socket_protocol.py'), mode, ...where, form]
  return new Peer('python3', [...args, secret.toString('hex')])
}
const run = async (peer: Peer, op: string, args: object = {}) =>
  (await peer.request({ op, ...args })).result
const request = (peer: Peer, service_id: number, data_id: number, data: unknown = null) =>
  run(peer, 'request', { service_id, data_id, data })

/** Starts a server and connects a Python client to it. */
async function pythonClient(family: 'unix' | 'tcp', form: Form, secret: Buffer = SECRET) {
  const transport = await sp.SocketServer.listen(
    family === 'unix' ? join(temporaryDirectory(), 'socket') : { host: '127.0.0.1', port: 0 },
  )
  const server = new FORMS[form](transport, { secret: SECRET })
  open.push(server)
  server.registerCallback(READ, null, message => [0, message.getData()])
  const address = transport.address as string | { host: string; port: number }
  const where =
    typeof address === 'string' ? ['unix', address] : ['tcp', address.host, String(address.port)]
  const peer = startPython('connect', where, form, secret)
  expect(await peer.receive()).toEqual({ role: 'client' })
  return { server, transport, peer }
}

/** Starts a Python server and connects a client to it. */
async function pythonServer(family: 'unix' | 'tcp', form: Form, options: sp.ProtocolOptions = {}) {
  const where =
    family === 'unix' ? ['unix', join(temporaryDirectory(), 'socket')] : ['tcp', '127.0.0.1', '0']
  const peer = startPython('listen', where, form)
  const { listening } = await peer.receive()
  const address = family === 'unix' ? listening : { host: listening[0], port: listening[1] }
  const transport = new sp.SocketClient(address, { minDelay: 1 })
  const client = new FORMS[form](transport, { secret: SECRET, channelName: 'fdwire', ...options })
  open.push(client)
  expect(await peer.receive()).toEqual({ role: 'server' })
  peer.send({ op: 'serve' })
  return { client, peer }
}

describe.each(CASES)('socket_protocol over %s in %s', (family, form) => {
  it('authenticates a Python client and exchanges requests in both directions', async () => {
    const { server, peer } = await pythonClient(family, form)
    expect((await request(peer, READ, 0, 'early'))[0]).toBe(sp.STATUS_AUTH_REQUIRED)
    expect(await run(peer, 'authenticate')).toBe(true)
    expect(server.checkAuthentificationState()).toBe(true)
    expect(server.channelName).toBe('python')
    for (const data of VALUES) expect(await request(peer, READ, 7, data)).toEqual([0, 11, 7, data])
    const burst = Array.from({ length: 300 }, (_, n) => n)
    expect(await run(peer, 'burst', { service_id: READ, data_id: 1, data: burst })).toEqual(burst)
    // No callback is registered, so the request is buffered for receive.
    expect((await request(peer, EXECUTE, 5, 'do'))[0]).toBe(1)
    expect((await server.receive(EXECUTE, 5))?.getData()).toBe('do')
    peer.send({ op: 'serve' })
    for (const data of VALUES) {
      expect((await server.request(WRITE, 0, data)).getStatus()).toBe(0)
      expect((await server.request(EXECUTE, 0)).getData()).toEqual(data)
    }
    // The server proves itself, too, although the Python client already trusts it.
    expect(await server.authentificate()).toBe(true)
  })

  it('authenticates to a Python server and gets its responses', async () => {
    const { client, peer } = await pythonServer(family, form, { autoAuth: true })
    for (const data of VALUES) {
      expect((await client.request(READ, 3, data)).getData()).toEqual(data)
      expect(await client.send(WRITE, 0, data)).toBe(true)
      expect((await client.request(EXECUTE, 0)).getData()).toEqual(data)
    }
    const all = await Promise.all(Array.from({ length: 300 }, (_, n) => client.request(READ, 0, n)))
    expect(all.map(message => message.getData())).toEqual(all.map((_, n) => n))
    expect((await client.request(WRITE, 9)).getStatus()).toBe(sp.STATUS_SERVICE_OR_DATA_UNKNOWN)
    await client.close()
    expect((await peer.receive()).result).toBe('end of stream')
    expect(await run(peer, 'state')).toMatchObject({ name: 'fdwire', trusted: true })
  })
})

describe('a peer with a wrong secret', () => {
  it('is disconnected by fdwire after the fifth wrong key', async () => {
    const { transport, server, peer } = await pythonClient(
      'unix',
      'pure_json',
      Buffer.from('other'),
    )
    for (let i = 1; i <= 5; i++) {
      expect(await run(peer, 'authenticate')).toBe(false)
      expect(server.checkAuthentificationState()).toBe(false)
    }
    expect(await run(peer, 'receive')).toBe(null)
    await expect.poll(() => transport.isConnected()).toBe(false)
  })

  it('is rejected by the Python server', async () => {
    const { client } = await pythonServer('unix', 'pure_json', { secret: 'other' })
    expect(await client.authentificate()).toBe(false)
    expect((await client.request(READ, 0)).getStatus()).toBe(sp.STATUS_AUTH_REQUIRED)
  })
})

describe('a body with a wrong checksum', () => {
  it.each(Object.keys(FORMS) as Form[])('is answered with status 5, in %s', async form => {
    const { server, peer } = await pythonClient('unix', form)
    expect(await run(peer, 'authenticate')).toBe(true)
    const body = encodeBody(form, { service_id: READ, data_id: 4, status: 0, data: 1 })
    body[body.length - 1] = (body.at(-1) as number) ^ 1
    const hex = Buffer.from(
      `:<${body.toString('latin1').replaceAll(':', ':=')}:>`,
      'latin1',
    ).toString('hex')
    await run(peer, 'raw', { hex: `${Buffer.from('noise :<dropped:!').toString('hex')}${hex}` })
    expect(await run(peer, 'receive')).toEqual([sp.STATUS_CHECKSUM_ERROR, 11, 4, null])
    expect(server.stats.malformed).toBe(2)
    expect(await request(peer, READ, 4, 'valid')).toEqual([0, 11, 4, 'valid'])
  })
})

describe('the end of a connection', () => {
  it('revokes the trust, and the next connection is untrusted', async () => {
    const { server, transport, peer } = await pythonClient('unix', 'pure_json')
    expect(await run(peer, 'authenticate')).toBe(true)
    const disconnected = once(server, 'disconnect')
    await peer.stop()
    await disconnected
    expect(server.checkAuthentificationState()).toBe(false)
    const next = startPython('connect', ['unix', transport.address as string], 'pure_json')
    await next.receive()
    expect((await request(next, READ, 0, 'untrusted'))[0]).toBe(sp.STATUS_AUTH_REQUIRED)
  })
})
