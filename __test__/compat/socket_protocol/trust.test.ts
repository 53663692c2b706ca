/** Who is trusted with what, over protocol objects and against peers who don't know the secret. */
import { channel as diagnostics } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { Link, RawPeer, recordingLogger, settle } from '../../support/socket_protocol.js'

const { SID_READ_REQUEST: READ, SID_READ_RESPONSE: READ_RESPONSE } = sp
const SECRET = '9d0c5c0a6f3be2c1'

function ends(client: sp.ProtocolOptions = {}, server: sp.ProtocolOptions = {}) {
  const link = new Link()
  const both = {
    link,
    client: new sp.PureJsonProtocol(link.client, { secret: SECRET, ...client }),
    server: new sp.PureJsonProtocol(link.server, { secret: SECRET, ...server }),
  }
  both.server.registerCallback(READ, null, message => [0, message.getData()])
  link.up()
  return both
}

function rude(options: sp.ProtocolOptions = {}) {
  const link = new Link()
  const peer = new RawPeer(link.client)
  const server = new sp.PureJsonProtocol(link.server, { secret: SECRET, ...options })
  let called = 0
  server.registerCallback(null, null, () => {
    called++
    return [0, 'called']
  })
  link.up()
  return { link, peer, server, called: () => called }
}

const key = (seed: unknown, role: sp.Role = 'client') =>
  sp.deriveKey(Buffer.from(SECRET), role, seed as string)
const trust = (...sides: sp.Protocol[]) => sides.map(side => side.checkAuthentificationState())

describe('authentificate', () => {
  it('makes the connection trusted on both sides', async () => {
    const { client, server } = ends()
    expect(trust(client, server)).toEqual([false, false])
    expect([client.isConnected(), client.connectionEstablished()]).toEqual([true, false])
    const told: boolean[] = []
    for (const side of [client, server]) side.on('authentification', trusted => told.push(trusted))
    expect(await client.authentificate()).toBe(true)
    expect(trust(client, server)).toEqual([true, true])
    expect([client.connectionEstablished(), server.connectionEstablished()]).toEqual([true, true])
    expect([client.authentificationState, server.authentificationState]).toEqual([4, 4])
    expect(told).toEqual([true, true])
    expect((await client.request(READ, 0, 'in')).getData()).toBe('in')
  })

  it('heeds its own time limit and signal, also where it joins an attempt that has more time', async () => {
    const link = new Link()
    // Nobody answers there.
    new RawPeer(link.server)
    const client = new sp.PureJsonProtocol(link.client, { secret: SECRET, autoAuth: true })
    link.up()
    expect(await client.authentificate({ timeout: 20 })).toBe(false)
    const stop = new AbortController()
    const aborted = client.authentificate({ signal: stop.signal })
    stop.abort('enough')
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError', cause: 'enough' })
    // The attempt of autoAuth, which has 2,000 ms, goes on.
    expect(client.authentificationState).toBe(sp.AUTH_STATE_SEED_REQUESTED)
    await client.close()
  })

  it('is false with another secret, and without one on either side', async () => {
    expect(await ends({ secret: 'other' }).client.authentificate()).toBe(false)
    expect(await ends({ secret: null }).client.authentificate()).toBe(false)
    expect(await ends({}, { secret: null }).client.authentificate()).toBe(false)
  })

  it('takes the secret as text or as bytes', async () => {
    expect(await ends({}, { secret: Buffer.from(SECRET) }).client.authentificate()).toBe(true)
    const bytes = new TextEncoder().encode(SECRET)
    const { client } = ends({}, { secret: bytes })
    bytes.fill(0) // the caller's again
    expect(await client.authentificate()).toBe(true)
  })

  it('waits for a connection, and gives up at its timeout', async () => {
    const { link, client } = ends()
    link.down()
    expect(await client.authentificate({ timeout: 5 })).toBe(false)
    const waiting = client.authentificate()
    link.up()
    expect(await waiting).toBe(true)
    const deaf = new Link()
    const alone = new sp.PureJsonProtocol(deaf.client, { secret: SECRET })
    deaf.up()
    expect(await alone.authentificate({ timeout: 5 })).toBe(false)
    expect(alone.authentificationState).toBe(sp.AUTH_STATE_UNTRUSTED_CONNECTION)
  })

  it('may be called by several at once, and by the server', async () => {
    const { client, server } = ends()
    const all = [client, client, server].map(side => side.authentificate())
    expect(await Promise.all(all)).toEqual([true, true, true])
  })

  it('happens by itself with autoAuth, again with each connection, and send waits for it', async () => {
    const { link, client, server } = ends({ autoAuth: true })
    for (let i = 0; i < 3; i++) {
      expect((await client.request(READ, i, i)).toJSON()).toMatchObject({ status: 0, data: i })
      expect(trust(client, server)).toEqual([true, true])
      link.down()
      expect(trust(client, server)).toEqual([false, false])
      link.up()
    }
  })

  it('goes on for others when it fails by itself: their requests are refused', async () => {
    const { client } = ends({ autoAuth: true, secret: 'wrong' })
    expect((await client.request(READ, 0)).getStatus()).toBe(sp.STATUS_AUTH_REQUIRED)
  })

  it('with mutual needs both proofs, which autoAuth gives', async () => {
    const options = { mutual: true, autoAuth: true }
    const { client, server } = ends(options, options)
    await expect.poll(() => trust(client, server)).toEqual([true, true])
    expect((await client.request(READ, 0, 'both')).getData()).toBe('both')
    // A server that only says that it believes is believed by nobody.
    const link = new Link()
    const impostor = new RawPeer(link.server)
    const careful = new sp.PureJsonProtocol(link.client, { secret: SECRET, mutual: true })
    link.up()
    await impostor.receive()
    const attempt = careful.authentificate()
    await impostor.receive()
    impostor.send(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_SEED, 'any seed')
    await impostor.receive()
    impostor.send(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_KEY, true)
    expect(await attempt).toBe(true)
    expect(trust(careful)).toEqual([false])
    expect((await impostor.request(READ, 0)).status).toBe(sp.STATUS_AUTH_REQUIRED)
  })
})

describe('as long as the connection is not trusted', () => {
  it('a request is answered with STATUS_AUTH_REQUIRED, and nobody is called', async () => {
    const { peer, server, called } = rude()
    for (const sid of [10, 20, 30]) {
      expect(await peer.request(sid, 0)).toMatchObject({
        service_id: sid + 1,
        status: sp.STATUS_AUTH_REQUIRED,
        data: null,
      })
    }
    expect([called(), server.stats.refused, server.stats.buffered]).toEqual([0, 3, 0])
  })

  it('other messages are dropped, and a response that nobody asked for as well', async () => {
    const { peer, server, called } = rude()
    for (const sid of [99, READ_RESPONSE]) peer.send(sid, 0, 'in')
    await settle()
    expect([called(), server.stats.refused, peer.unread]).toEqual([0, 2, 0])
    expect(await server.receive(99, 0, { timeout: 1 })).toBe(null)
  })

  it('what stands on the whitelist is let through', async () => {
    const { peer, server, called } = rude()
    server.addMsgToAuthWhitelist(READ, 7).addMsgToAuthWhitelist(99, 0)
    expect(await peer.request(READ, 7)).toMatchObject({ status: 0, data: 'called' })
    expect((await peer.request(READ, 8)).status).toBe(sp.STATUS_AUTH_REQUIRED)
    peer.send(99, 0)
    await settle()
    expect(called()).toBe(2)
  })

  it('a response to a request of ours is taken', async () => {
    const { link, server } = rude()
    const peer = new RawPeer(link.client)
    const waiting = server.request(READ, 0)
    expect(await peer.receive()).toMatchObject({ service_id: READ })
    peer.send(READ_RESPONSE, 0, 'answer')
    expect((await waiting).getData()).toBe('answer')
  })

  it('names are exchanged', async () => {
    const { peer, server } = rude()
    expect((await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 0, 'name')).status).toBe(0)
    expect(server.channelName).toBe('name')
  })
})

describe('an attacker', () => {
  it('has the right key once: not again, not later, not on the next connection', async () => {
    const { link, peer, called } = rude()
    const { data: seed } = await peer.request(0, 0)
    expect((await peer.request(0, 1, key(seed))).data).toBe(true)
    expect((await peer.request(READ, 0)).status).toBe(0)
    expect(await peer.request(0, 1, key(seed))).toMatchObject({ status: 6, data: false })
    expect((await peer.request(READ, 0)).status).toBe(sp.STATUS_AUTH_REQUIRED)
    link.down()
    link.up()
    await peer.request(0, 0)
    expect((await peer.request(0, 1, key(seed))).data).toBe(false)
    expect((await peer.request(READ, 0)).status).toBe(sp.STATUS_AUTH_REQUIRED)
    expect(called()).toBe(1)
  })

  it('loses the connection with the last of its attempts, behind the last answer', async () => {
    const { link, peer, server } = rude()
    const logger = recordingLogger()
    for (let attempt = 1; attempt <= 5; attempt++) {
      await peer.request(0, 0)
      peer.send(0, 1, 'wrong')
      if (attempt < 5) expect((await peer.receive()).data).toBe(false)
    }
    await settle()
    expect([link.isUp, link.server.reconnects]).toEqual([false, 1])
    expect(trust(server)).toEqual([false])
    expect(logger.lines).toEqual([])
  })

  it('is not heard any more behind that, also where the transport cannot close', async () => {
    const { link, peer, called } = rude()
    let asked = 0
    link.server.reconnect = () => {
      asked++
      return true
    }
    for (let i = 0; i < 500; i++) peer.send(0, 0)
    for (let i = 0; i < 500; i++) peer.send(0, 1, 'x')
    for (let i = 0; i < 100; i++) peer.send(READ, 0)
    await settle()
    expect([asked, called()]).toEqual([1, 0])
    expect(peer.unread).toBeLessThan(10)
  })

  it('floods with seeds that nobody asked for, and no key is ever made of one', async () => {
    const made: string[] = []
    const deriveKey: sp.DeriveKey = (_, __, seed) => {
      made.push(seed)
      return 'key'
    }
    const { peer, server } = rude({ deriveKey })
    for (let i = 0; i < 1_000; i++) peer.send(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_SEED, `seed ${i}`)
    await settle()
    expect([made, peer.unread]).toEqual([[], 0])
    expect(server.stats.refused).toBe(1_000)
  })

  it('relays a seed to the twin of the server, and gains nothing', async () => {
    const [first, second] = [rude(), rude()]
    const { data: seed } = await first.peer.request(0, 0)
    // The twin proves itself to whoever is there.
    const attempt = second.server.authentificate()
    expect(await second.peer.receive()).toMatchObject({ service_id: 0, data_id: 0 })
    second.peer.send(1, 0, seed)
    const stolen = await second.peer.receive()
    expect(stolen).toMatchObject({ service_id: 0, data_id: 1, data: key(seed, 'server') })
    expect((await first.peer.request(0, 1, stolen.data)).data).toBe(false)
    expect(trust(first.server)).toEqual([false])
    second.link.down()
    expect(await attempt).toBe(false)
  })

  it('sends the seed back that we have given, and gets no key for it', async () => {
    const { peer, server } = rude()
    const { data: seed } = await peer.request(0, 0)
    const attempt = server.authentificate()
    await peer.receive()
    peer.send(1, 0, seed)
    expect(await attempt).toBe(false)
    await settle()
    expect(peer.unread).toBe(0)
  })
})

describe('the secret and the key', () => {
  it('are in no log, error, inspection or diagnostics', async () => {
    const logger = recordingLogger()
    const seen: unknown[] = []
    const listener = (message: unknown) => seen.push(inspect(message, { depth: 9 }))
    for (const name of ['fdwire:malformed', 'fdwire:undelivered']) {
      diagnostics(name).subscribe(listener)
    }
    const errors: unknown[] = []
    const keys: string[] = []
    const deriveKey: sp.DeriveKey = (secret, role, seed) => {
      keys.push(sp.deriveKey(secret, role, seed))
      return keys.at(-1) as string
    }
    const options = { logger, autoAuth: true, deriveKey }
    const { link, client, server } = ends(options, options)
    for (const side of [client, server]) side.on('malformed', error => errors.push(error))
    await client.request(READ, 0)
    // A key on its way that is damaged in each of its bytes.
    link.client.intercept = body => {
      if (body.includes('"data_id":1,"service_id":0')) {
        body[body.length - 9] = 0xff
        link.server.deliver(Buffer.from(body.subarray(0, body.length - 20)))
      }
      return body
    }
    link.down()
    link.up()
    await settle()
    link.down()
    await expect(client.request(READ, 0, null, { timeout: 1 })).rejects.toThrow()
    expect(errors.length).toBeGreaterThan(0)
    const all = [logger.lines, seen, errors, client, server].map(one => inspect(one, { depth: 9 }))
    expect(keys.length).toBeGreaterThan(0)
    for (const text of [...all, JSON.stringify(client), JSON.stringify(errors)]) {
      expect(text).not.toContain(SECRET)
      expect(text).not.toContain(Buffer.from(SECRET).toString('hex'))
      for (const key of keys) expect(text).not.toContain(key.slice(0, 16))
    }
    expect(() => new sp.PureJsonProtocol(link.client, { secret: 5 as never })).toThrow(/^(?!.*5)/)
    for (const name of ['fdwire:malformed', 'fdwire:undelivered']) {
      diagnostics(name).unsubscribe(listener)
    }
  })

  it('nothing is logged where no logger is given', async () => {
    const { client } = ends({ autoAuth: true })
    await client.request(READ, 0)
    // What console would have said stands in no file of ours.
    expect(client.stats.sent).toBeGreaterThan(0)
  })
})
