/** Authentication as a machine: messages in, messages out, and a state. No socket, no clock. */
import { createHmac } from 'node:crypto'
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import {
  Authentification,
  type AuthentificationOptions,
  deriveKey,
} from '../../../lib/compat/socket_protocol/authentification.js'
import { DataStorage } from '../../../lib/compat/socket_protocol/data-storage.js'

const SECRET = Buffer.from('9d3b 7f')
const HEX = /^[0-9a-f]{64}$/

const machine = (role: sp.Role, options: Partial<AuthentificationOptions> = {}) =>
  new Authentification({
    secret: SECRET,
    role,
    deriveKey,
    maxAttempts: 5,
    mutual: false,
    ...options,
  })

const message = (service_id: number, data_id: number, data: unknown, status = 0) =>
  new DataStorage({ status, service_id, data_id, data })
const seedRequest = message(sp.SID_AUTH_REQUEST, sp.DID_AUTH_SEED, null)
const keyRequest = (key: unknown) => message(sp.SID_AUTH_REQUEST, sp.DID_AUTH_KEY, key)
const seedResponse = (seed: unknown, status = 0) =>
  message(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_SEED, seed, status)
const feedback = (told: unknown, status = 0) =>
  message(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_KEY, told, status)

/** Asks for a seed as the peer does. */
const seedOf = (side: Authentification): string => side.receive(seedRequest).reply?.getData()
const told = (reply: DataStorage | undefined) => [reply?.getStatus(), reply?.getData()]

/** Carries the messages of an attempt to and fro. */
function prove(from: Authentification, to: Authentification): boolean | undefined {
  let request = from.begin()
  let settled: boolean | undefined
  while (request !== undefined && settled === undefined) {
    const answer = to.receive(request).reply as DataStorage
    const reaction = from.receive(answer)
    settled = reaction.settled
    request = reaction.reply
  }
  return settled
}

describe('an attempt', () => {
  it('goes through the states of the original, on both sides', () => {
    const [client, server] = [machine('client'), machine('server')]
    expect([client.state, server.state]).toEqual([0, 0])
    const asked = client.begin() as DataStorage
    expect(asked.toJSON()).toEqual({ status: 0, service_id: 0, data_id: 0, data: null })
    expect(client.state).toBe(sp.AUTH_STATE_SEED_REQUESTED)
    const seed = server.receive(asked).reply as DataStorage
    expect(seed.toJSON()).toEqual({
      status: 0,
      service_id: 1,
      data_id: 0,
      data: expect.stringMatching(HEX),
    })
    expect(server.state).toBe(sp.AUTH_STATE_SEED_TRANSFERRED)
    const key = client.receive(seed).reply as DataStorage
    expect(key.toJSON()).toMatchObject({
      service_id: 0,
      data_id: 1,
      data: expect.stringMatching(HEX),
    })
    expect(client.state).toBe(sp.AUTH_STATE_KEY_TRANSFERRED)
    const answer = server.receive(key).reply as DataStorage
    expect(answer.toJSON()).toEqual({ status: 0, service_id: 1, data_id: 1, data: true })
    expect(client.receive(answer)).toEqual({ settled: true })
    expect([client.state, server.state]).toEqual([4, 4])
  })

  it('has the key that the page says', () => {
    const server = machine('server')
    const seed = seedOf(server)
    const text = Buffer.concat([
      Buffer.from('fdwire socket_protocol 1'),
      Buffer.from([0]),
      Buffer.from('client'),
      Buffer.from([0]),
      Buffer.from(seed),
    ])
    const key = createHmac('sha256', SECRET).update(text).digest('hex')
    expect(told(server.receive(keyRequest(key)).reply)).toEqual([0, true])
  })

  it('may go either way, and both at once', () => {
    const [client, server] = [machine('client'), machine('server')]
    const [fromClient, fromServer] = [client.begin(), server.begin()] as DataStorage[]
    const toClient = server.receive(fromClient as DataStorage).reply as DataStorage
    const toServer = client.receive(fromServer as DataStorage).reply as DataStorage
    const clientKey = client.receive(toClient).reply as DataStorage
    const serverKey = server.receive(toServer).reply as DataStorage
    const serverTold = client.receive(serverKey).reply as DataStorage
    const clientTold = server.receive(clientKey).reply as DataStorage
    expect(server.receive(serverTold)).toEqual({ settled: true })
    expect(client.receive(clientTold)).toEqual({ settled: true })
  })

  it('fails where the secrets differ', () => {
    const server = machine('server', { secret: Buffer.from('another') })
    const client = machine('client')
    expect(prove(client, server)).toBe(false)
    expect([client.isTrusted, server.isTrusted]).toEqual([false, false])
  })

  it('cannot begin without a secret, and is refused by who has none', () => {
    const none = machine('server', { secret: undefined })
    expect(none.begin()).toBe(undefined)
    expect(prove(machine('client'), none)).toBe(false)
    expect(none.receive(keyRequest('key')).reply?.getStatus()).toBe(6)
  })

  it('needs both proofs where it is mutual', () => {
    const [client, server] = [
      machine('client', { mutual: true }),
      machine('server', { mutual: true }),
    ]
    expect(prove(client, server)).toBe(true)
    expect([client.isTrusted, server.isTrusted]).toEqual([false, false])
    expect(prove(server, client)).toBe(true)
    expect([client.isTrusted, server.isTrusted]).toEqual([true, true])
  })
})

describe('refused, and harmless', () => {
  it('a key that was good once', () => {
    const server = machine('server')
    const key = deriveKey(SECRET, 'client', seedOf(server))
    expect(told(server.receive(keyRequest(key)).reply)).toEqual([0, true])
    server.reset()
    const replayed = server.receive(keyRequest(key))
    expect([told(replayed.reply), replayed.refused]).toEqual([[6, false], 'a key without a seed'])
    seedOf(server)
    expect(told(server.receive(keyRequest(key)).reply)).toEqual([0, false])
    expect(server.isTrusted).toBe(false)
  })

  it('a second key for one seed, also the right one', () => {
    const server = machine('server')
    const key = deriveKey(SECRET, 'client', seedOf(server))
    expect(told(server.receive(keyRequest('wrong')).reply)).toEqual([0, false])
    expect(told(server.receive(keyRequest(key)).reply)).toEqual([6, false])
    expect(server.state).toBe(sp.AUTH_STATE_UNTRUSTED_CONNECTION)
  })

  it('a key for a seed that another one has replaced', () => {
    const server = machine('server')
    const [first, second] = [seedOf(server), seedOf(server)]
    expect(first).not.toBe(second)
    expect(told(server.receive(keyRequest(deriveKey(SECRET, 'client', first))).reply)).toEqual([
      0,
      false,
    ])
  })

  it('a key before a seed', () => {
    const server = machine('server')
    expect(told(server.receive(keyRequest('0'.repeat(64))).reply)).toEqual([6, false])
    expect(server.isTrusted).toBe(false)
  })

  it.each([null, 7, true, [], {}, '', 'x'.repeat(2_000)])('a key that is %j', key => {
    const server = machine('server')
    seedOf(server)
    expect(told(server.receive(keyRequest(key)).reply)).toEqual([0, false])
  })

  it('a seed or a feedback that nobody asked for', () => {
    const client = machine('client')
    const before = client.state
    expect(client.receive(seedResponse('5d'.repeat(32)))).toEqual({
      refused: 'a seed that nobody asked for',
    })
    expect(client.receive(feedback(true))).toEqual({ refused: 'a feedback that nobody asked for' })
    expect([client.state, client.isTrusted]).toEqual([before, false])
    // Nor does a feedback take the place of a seed.
    client.begin()
    expect(client.receive(feedback(true)).refused).toBe('a feedback that nobody asked for')
    expect(client.isTrusted).toBe(false)
  })

  it.each([null, 7, [], {}, '', 'x'.repeat(2_000)])('a seed that is %j', seed => {
    const client = machine('client')
    client.begin()
    expect(client.receive(seedResponse(seed))).toMatchObject({ settled: false })
    expect(client.state).toBe(sp.AUTH_STATE_UNTRUSTED_CONNECTION)
  })

  it.each([
    [true, 6],
    [1, 0],
    ['true', 0],
    [null, 0],
    [false, 0],
  ])('a feedback that is %j with status %i', (data, status) => {
    const client = machine('client')
    client.begin()
    client.receive(seedResponse('5d'.repeat(32)))
    expect(client.receive(feedback(data, status))).toEqual({ settled: false })
    expect(client.isTrusted).toBe(false)
  })

  it('a seed of our own that comes back: nobody has us answer our own question', () => {
    const server = machine('server')
    const own = seedOf(server)
    server.begin()
    const reaction = server.receive(seedResponse(own))
    expect(reaction).toEqual({ refused: 'a seed of our own', settled: false })
  })

  it('what the twin of the server answers to its seed: a role cannot stand in for the other', () => {
    const [server, twin] = [machine('server'), machine('server')]
    const seed = seedOf(server)
    // The relay has the twin, which wants to prove itself to it, answer the server's seed.
    twin.begin()
    const key = twin.receive(seedResponse(seed)).reply as DataStorage
    expect(key.getData()).toMatch(HEX)
    expect(told(server.receive(key).reply)).toEqual([0, false])
    expect(server.isTrusted).toBe(false)
  })

  it('steps that there are not', () => {
    const server = machine('server')
    expect(told(server.receive(message(0, 2, 'x')).reply)).toEqual([6, null])
    expect(server.receive(message(1, 2, 'x'))).toEqual({ refused: 'no such step' })
  })
})

describe('the limit of attempts', () => {
  it('is reached by wrong keys, and the connection is to be closed behind the last answer', () => {
    const server = machine('server')
    for (let attempt = 1; attempt <= 5; attempt++) {
      seedOf(server)
      const { reply, close = false } = server.receive(keyRequest('wrong'))
      expect([told(reply), close]).toEqual([[0, false], attempt === 5])
    }
    const more = server.receive(seedRequest)
    expect([told(more.reply), more.close]).toEqual([[6, null], true])
  })

  it('is reached by a flood of requests for seeds, and by keys without one', () => {
    const flooded = machine('server')
    for (let i = 0; i < 5; i++) expect(seedOf(flooded)).toMatch(HEX)
    expect(flooded.receive(seedRequest)).toMatchObject({ close: true })
    const server = machine('server')
    for (let i = 0; i < 4; i++) expect(server.receive(keyRequest('x')).close).toBe(undefined)
    expect(server.receive(keyRequest('x'))).toMatchObject({ close: true })
  })

  it('begins again with a success, and with a connection', () => {
    const [client, server] = [machine('client'), machine('server')]
    for (let i = 0; i < 20; i++) {
      seedOf(server)
      if (i % 4 === 3) expect(prove(client, server)).toBe(true)
    }
    for (let i = 0; i < 20; i++) {
      server.reset()
      expect(seedOf(server)).toMatch(HEX)
    }
  })
})

describe('an attempt that was given up', () => {
  it('leaves its answers to nobody, and the next one has its own', () => {
    const [client, server] = [machine('client'), machine('server')]
    const first = server.receive(client.begin() as DataStorage).reply as DataStorage
    client.abandon()
    const second = server.receive(client.begin() as DataStorage).reply as DataStorage
    expect(client.receive(first).refused).toBe('a seed for an attempt that was given up')
    const key = client.receive(second).reply as DataStorage
    const late = server.receive(key).reply as DataStorage
    client.abandon()
    expect(client.receive(late).refused).toBe('a feedback on an attempt that was given up')
    expect(client.isTrusted).toBe(false)
    expect(prove(client, server)).toBe(true)
  })

  it('is over with the connection: nobody is trusted then, and no seed is good', () => {
    const [client, server] = [machine('client'), machine('server')]
    expect(prove(client, server)).toBe(true)
    const seed = seedOf(server)
    for (const side of [client, server]) side.reset()
    expect([client.state, server.state]).toEqual([0, 0])
    const reaction = server.receive(keyRequest(deriveKey(SECRET, 'client', seed)))
    expect(told(reaction.reply)).toEqual([6, false])
  })
})

describe('deriveKey', () => {
  it('can be another one, on both sides', () => {
    const derive = (secret: Buffer, role: string, seed: string) =>
      `${secret.length} ${role} ${seed}`
    const [client, server] = [
      machine('client', { deriveKey: derive }),
      machine('server', { deriveKey: derive }),
    ]
    expect(prove(client, server)).toBe(true)
    expect(prove(machine('client'), server)).toBe(false)
  })

  it('that throws or makes no text proves nothing, and what it throws is not shown', () => {
    for (const bad of [() => undefined, () => '', () => Promise.resolve('x')]) {
      expect(prove(machine('client', { deriveKey: bad as never }), machine('server'))).toBe(false)
    }
    const throwing = () => {
      throw new Error('the secret is 9d3b 7f')
    }
    const server = machine('server', { deriveKey: throwing })
    expect(JSON.stringify(server.receive(seedRequest))).not.toContain('9d3b')
    expect(told(server.receive(keyRequest('x')).reply)).toEqual([0, false])
  })
})
