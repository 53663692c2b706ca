/**
 * Authentication and trust between Protocols, and attacks by raw peers, over an in-memory
 * transport.
 */
import { channel as diagnostics } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import * as sp from 'fdwire/socket_protocol'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Link, RawPeer, recordingLogger, settle } from '../../support/socket_protocol.js'

const { SID_READ_REQUEST: READ, SID_READ_RESPONSE: READ_RESPONSE } = sp
const SECRET = '9d0c5c0a6f3be2c1'

afterEach(() => {
  vi.restoreAllMocks()
})

/** Returns a connected client and server that know the secret. */
function authenticatingPair(client: sp.ProtocolOptions = {}, server: sp.ProtocolOptions = {}) {
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

/** Returns a server that knows the secret and a raw client. `called` counts its callbacks. */
function attackedServer(options: sp.ProtocolOptions = {}) {
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

describe('Protocol.authentificate', () => {
  it('establishes trust on both sides', async () => {
    const { client, server } = authenticatingPair()
    expect(trust(client, server)).toEqual([false, false])
    expect([client.isConnected(), client.connectionEstablished()]).toEqual([true, false])
    const events: boolean[] = []
    for (const side of [client, server])
      side.on('authentification', trusted => events.push(trusted))
    expect(await client.authentificate()).toBe(true)
    expect(trust(client, server)).toEqual([true, true])
    expect([client.connectionEstablished(), server.connectionEstablished()]).toEqual([true, true])
    expect([client.authentificationState, server.authentificationState]).toEqual([4, 4])
    expect(events).toEqual([true, true])
    expect((await client.request(READ, 0, 'data')).getData()).toBe('data')
  })

  it('obeys its own timeout and signal, even if it joins an attempt with a longer timeout', async () => {
    const link = new Link()
    // This peer does not respond.
    new RawPeer(link.server)
    const client = new sp.PureJsonProtocol(link.client, { secret: SECRET, autoAuth: true })
    link.up()
    expect(await client.authentificate({ timeout: 20 })).toBe(false)
    const stop = new AbortController()
    const aborted = client.authentificate({ signal: stop.signal })
    stop.abort('reason')
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError', cause: 'reason' })
    // The attempt of autoAuth, which has a timeout of 2,000 ms, continues.
    expect(client.authentificationState).toBe(sp.AUTH_STATE_SEED_REQUESTED)
    await client.close()
  })

  it('resolves to false if the secrets differ or one side has none', async () => {
    expect(await authenticatingPair({ secret: 'other' }).client.authentificate()).toBe(false)
    expect(await authenticatingPair({ secret: null }).client.authentificate()).toBe(false)
    expect(await authenticatingPair({}, { secret: null }).client.authentificate()).toBe(false)
  })

  it('accepts the secret as text or as bytes, which it copies', async () => {
    expect(
      await authenticatingPair({}, { secret: Buffer.from(SECRET) }).client.authentificate(),
    ).toBe(true)
    const bytes = new TextEncoder().encode(SECRET)
    const { client } = authenticatingPair({}, { secret: bytes })
    bytes.fill(0) // the Protocol has copied the secret
    expect(await client.authentificate()).toBe(true)
  })

  it('waits for a connection until its timeout', async () => {
    const { link, client } = authenticatingPair()
    link.down()
    expect(await client.authentificate({ timeout: 5 })).toBe(false)
    const waiting = client.authentificate()
    link.up()
    expect(await waiting).toBe(true)
    const unanswered = new Link()
    const alone = new sp.PureJsonProtocol(unanswered.client, { secret: SECRET })
    unanswered.up()
    expect(await alone.authentificate({ timeout: 5 })).toBe(false)
    expect(alone.authentificationState).toBe(sp.AUTH_STATE_UNTRUSTED_CONNECTION)
  })

  it('can be called several times at once, and by both sides', async () => {
    const { client, server } = authenticatingPair()
    const all = [client, client, server].map(side => side.authentificate())
    expect(await Promise.all(all)).toEqual([true, true, true])
  })

  it('is called by autoAuth for each connection, and send waits for it', async () => {
    const { link, client, server } = authenticatingPair({ autoAuth: true })
    for (let i = 0; i < 3; i++) {
      expect((await client.request(READ, i, i)).toJSON()).toMatchObject({ status: 0, data: i })
      expect(trust(client, server)).toEqual([true, true])
      link.down()
      expect(trust(client, server)).toEqual([false, false])
      link.up()
    }
  })

  it('does not block later requests if autoAuth fails: the server rejects them', async () => {
    const { client } = authenticatingPair({ autoAuth: true, secret: 'wrong' })
    expect((await client.request(READ, 0)).getStatus()).toBe(sp.STATUS_AUTH_REQUIRED)
  })

  it('with mutual: true establishes trust only after both proofs', async () => {
    const options = { mutual: true, autoAuth: true }
    const { client, server } = authenticatingPair(options, options)
    await expect.poll(() => trust(client, server)).toEqual([true, true])
    expect((await client.request(READ, 0, 'both')).getData()).toBe('both')
    // A server that accepts a proof without giving its own is not trusted.
    const link = new Link()
    const impostor = new RawPeer(link.server)
    const careful = new sp.PureJsonProtocol(link.client, { secret: SECRET, mutual: true })
    link.up()
    await impostor.receive()
    const attempt = careful.authentificate()
    await impostor.receive()
    impostor.send(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_SEED, '5d'.repeat(32))
    await impostor.receive()
    impostor.send(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_KEY, true)
    expect(await attempt).toBe(true)
    expect(trust(careful)).toEqual([false])
    expect((await impostor.request(READ, 0)).status).toBe(sp.STATUS_AUTH_REQUIRED)
  })
})

describe('an untrusted connection', () => {
  it('gets STATUS_AUTH_REQUIRED for a request, and no callback runs', async () => {
    const { peer, server, called } = attackedServer()
    for (const sid of [10, 20, 30]) {
      expect(await peer.request(sid, 0)).toMatchObject({
        service_id: sid + 1,
        status: sp.STATUS_AUTH_REQUIRED,
        data: null,
      })
    }
    expect([called(), server.stats.refused, server.stats.buffered]).toEqual([0, 3, 0])
  })

  it('cannot deliver other messages or unsolicited responses', async () => {
    const { peer, server, called } = attackedServer()
    for (const sid of [99, READ_RESPONSE]) peer.send(sid, 0, 'in')
    await settle()
    expect([called(), server.stats.refused, peer.unread]).toEqual([0, 2, 0])
    expect(await server.receive(99, 0, { timeout: 1 })).toBe(null)
  })

  it('can deliver whitelisted messages', async () => {
    const { peer, server, called } = attackedServer()
    server.addMsgToAuthWhitelist(READ, 7).addMsgToAuthWhitelist(99, 0)
    expect(await peer.request(READ, 7)).toMatchObject({ status: 0, data: 'called' })
    expect((await peer.request(READ, 8)).status).toBe(sp.STATUS_AUTH_REQUIRED)
    peer.send(99, 0)
    await settle()
    expect(called()).toBe(2)
  })

  it('can deliver the response to a request', async () => {
    const { link, server } = attackedServer()
    const peer = new RawPeer(link.client)
    const waiting = server.request(READ, 0)
    expect(await peer.receive()).toMatchObject({ service_id: READ })
    peer.send(READ_RESPONSE, 0, 'response')
    expect((await waiting).getData()).toBe('response')
  })

  it('can exchange channel names', async () => {
    const { peer, server } = attackedServer()
    expect((await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 0, 'name')).status).toBe(0)
    expect(server.channelName).toBe('name')
  })
})

describe('an attacker', () => {
  it('cannot use a correct key twice, nor on the next connection', async () => {
    const { link, peer, called } = attackedServer()
    const { data: seed } = await peer.request(0, 0)
    expect((await peer.request(0, 1, key(seed))).data).toBe(true)
    expect((await peer.request(READ, 0)).status).toBe(0)
    expect(await peer.request(0, 1, key(seed))).toMatchObject({ status: 6, data: false })
    // The first key has made the connection trusted until it ends.
    expect((await peer.request(READ, 0)).status).toBe(0)
    link.down()
    link.up()
    await peer.request(0, 0)
    expect((await peer.request(0, 1, key(seed))).data).toBe(false)
    expect((await peer.request(READ, 0)).status).toBe(sp.STATUS_AUTH_REQUIRED)
    expect(called()).toBe(2)
  })

  it('is disconnected after the last allowed attempt', async () => {
    const logger = recordingLogger()
    const { link, peer, server } = attackedServer({ logger })
    for (let attempt = 1; attempt <= 5; attempt++) {
      await peer.request(0, 0)
      peer.send(0, 1, 'wrong')
      if (attempt < 5) expect((await peer.receive()).data).toBe(false)
    }
    await settle()
    expect([link.isUp, link.server.reconnects]).toEqual([false, 1])
    expect(trust(server)).toEqual([false])
    const levels = logger.lines.map(line => line.split(':')[0])
    // The fifth refusal is followed by the end of the connection.
    expect(levels.filter(level => level === 'warn')).toHaveLength(6)
    expect(levels.filter(level => level === 'error')).toHaveLength(1)
  })

  it('is ignored after its last attempt, even if the transport does not close', async () => {
    const { link, peer, called } = attackedServer()
    let reconnects = 0
    link.server.reconnect = () => {
      reconnects++
      return true
    }
    for (let i = 0; i < 500; i++) peer.send(0, 0)
    for (let i = 0; i < 500; i++) peer.send(0, 1, 'x')
    for (let i = 0; i < 100; i++) peer.send(READ, 0)
    await settle()
    expect([reconnects, called()]).toEqual([1, 0])
    expect(peer.unread).toBeLessThan(10)
  })

  it('gets no key for unsolicited seeds', async () => {
    const seeds: string[] = []
    const deriveKey: sp.DeriveKey = (_, __, seed) => {
      seeds.push(seed)
      return 'key'
    }
    const { peer, server } = attackedServer({ deriveKey })
    for (let i = 0; i < 1_000; i++) peer.send(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_SEED, `seed ${i}`)
    await settle()
    expect([seeds, peer.unread]).toEqual([[], 0])
    expect(server.stats.refused).toBe(1_000)
  })

  it('cannot use a key that it obtained from another server by relaying a seed', async () => {
    const [first, second] = [attackedServer(), attackedServer()]
    const { data: seed } = await first.peer.request(0, 0)
    // The second server proves itself to any peer.
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

  it('gets no key for a reflected seed', async () => {
    const { peer, server } = attackedServer()
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
  it('do not appear in logs, errors, inspection or diagnostics', async () => {
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
    const { link, client, server } = authenticatingPair(options, options)
    for (const side of [client, server]) side.on('malformed', error => errors.push(error))
    await client.request(READ, 0)
    // Damages the message that carries the key, and delivers a truncated copy of it.
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
    const all = [logger.lines, seen, errors, client, server].map(value =>
      inspect(value, { depth: 9 }),
    )
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
})

describe('a Protocol without a logger', () => {
  it('prints nothing', async () => {
    const methods = ['debug', 'error', 'info', 'log', 'warn'] as const
    const spies = methods.map(method => vi.spyOn(console, method))
    const { client } = authenticatingPair({ autoAuth: true })
    await client.request(READ, 0)
    expect(client.stats.sent).toBeGreaterThan(0)
    for (const spy of spies) expect(spy).not.toHaveBeenCalled()
  })
})
