/**
 * The state machine of the authentication: messages in, messages and state out, without IO or time.
 */
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
const feedback = (data: unknown, status = 0) =>
  message(sp.SID_AUTH_RESPONSE, sp.DID_AUTH_KEY, data, status)

/** Requests a seed as the peer would. */
const requestSeed = (side: Authentification): string => side.receive(seedRequest).reply?.getData()
/** Returns the status and the data of a reply. */
const statusAndData = (reply: DataStorage | undefined) => [reply?.getStatus(), reply?.getData()]

/** Delivers the messages of an attempt in both directions. Returns whether `from` was accepted. */
function authenticate(from: Authentification, to: Authentification): boolean | undefined {
  let request = from.begin()
  let settled: boolean | undefined
  while (request !== undefined && settled === undefined) {
    const response = to.receive(request).reply as DataStorage
    const reaction = from.receive(response)
    settled = reaction.settled
    request = reaction.reply
  }
  return settled
}

/** Values that are neither a seed nor a key, with their titles. */
const INVALID_TEXTS: [string, unknown][] = [
  ['null', null],
  ['a number', 7],
  ['an array', []],
  ['an object', {}],
  ['an empty string', ''],
  ['a string of 2,000 characters', 'x'.repeat(2_000)],
]

describe('an authentication attempt', () => {
  it('passes through the states of the original on both sides', () => {
    const [client, server] = [machine('client'), machine('server')]
    expect([client.state, server.state]).toEqual([0, 0])
    const request = client.begin() as DataStorage
    expect(request.toJSON()).toEqual({ status: 0, service_id: 0, data_id: 0, data: null })
    expect(client.state).toBe(sp.AUTH_STATE_SEED_REQUESTED)
    const seed = server.receive(request).reply as DataStorage
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
    const response = server.receive(key).reply as DataStorage
    expect(response.toJSON()).toEqual({ status: 0, service_id: 1, data_id: 1, data: true })
    expect(client.receive(response)).toEqual({ settled: true })
    expect([client.state, server.state]).toEqual([4, 4])
  })

  it('derives the key as documented', () => {
    const server = machine('server')
    const seed = requestSeed(server)
    const text = Buffer.concat([
      Buffer.from('fdwire socket_protocol 1'),
      Buffer.from([0]),
      Buffer.from('client'),
      Buffer.from([0]),
      Buffer.from(seed),
    ])
    const key = createHmac('sha256', SECRET).update(text).digest('hex')
    expect(statusAndData(server.receive(keyRequest(key)).reply)).toEqual([0, true])
  })

  it('can run in both directions at once', () => {
    const [client, server] = [machine('client'), machine('server')]
    const [fromClient, fromServer] = [client.begin(), server.begin()] as DataStorage[]
    const toClient = server.receive(fromClient as DataStorage).reply as DataStorage
    const toServer = client.receive(fromServer as DataStorage).reply as DataStorage
    const clientKey = client.receive(toClient).reply as DataStorage
    const serverKey = server.receive(toServer).reply as DataStorage
    const serverFeedback = client.receive(serverKey).reply as DataStorage
    const clientFeedback = server.receive(clientKey).reply as DataStorage
    expect(server.receive(serverFeedback)).toEqual({ settled: true })
    expect(client.receive(clientFeedback)).toEqual({ settled: true })
  })

  it('fails if the secrets differ', () => {
    const server = machine('server', { secret: Buffer.from('another') })
    const client = machine('client')
    expect(authenticate(client, server)).toBe(false)
    expect([client.isTrusted, server.isTrusted]).toEqual([false, false])
  })

  it('cannot begin without a secret, and fails if the peer has none', () => {
    const withoutSecret = machine('server', { secret: undefined })
    expect(withoutSecret.begin()).toBe(undefined)
    expect(authenticate(machine('client'), withoutSecret)).toBe(false)
    expect(withoutSecret.receive(keyRequest('key')).reply?.getStatus()).toBe(6)
  })

  it('establishes trust only after both proofs if it is mutual', () => {
    const [client, server] = [
      machine('client', { mutual: true }),
      machine('server', { mutual: true }),
    ]
    expect(authenticate(client, server)).toBe(true)
    expect([client.isTrusted, server.isTrusted]).toEqual([false, false])
    expect(authenticate(server, client)).toBe(true)
    expect([client.isTrusted, server.isTrusted]).toEqual([true, true])
  })
})

describe('an authentication side', () => {
  it('rejects a key that was accepted before', () => {
    const server = machine('server')
    const key = deriveKey(SECRET, 'client', requestSeed(server))
    expect(statusAndData(server.receive(keyRequest(key)).reply)).toEqual([0, true])
    server.reset()
    const replayed = server.receive(keyRequest(key))
    expect([statusAndData(replayed.reply), replayed.refused]).toEqual([
      [6, false],
      'a key without a seed',
    ])
    requestSeed(server)
    expect(statusAndData(server.receive(keyRequest(key)).reply)).toEqual([0, false])
    expect(server.isTrusted).toBe(false)
  })

  it('rejects a second key for a seed, even a correct one', () => {
    const server = machine('server')
    const key = deriveKey(SECRET, 'client', requestSeed(server))
    expect(statusAndData(server.receive(keyRequest('wrong')).reply)).toEqual([0, false])
    expect(statusAndData(server.receive(keyRequest(key)).reply)).toEqual([6, false])
    expect(server.state).toBe(sp.AUTH_STATE_UNTRUSTED_CONNECTION)
  })

  it('rejects a key for a replaced seed', () => {
    const server = machine('server')
    const [first, second] = [requestSeed(server), requestSeed(server)]
    expect(first).not.toBe(second)
    expect(
      statusAndData(server.receive(keyRequest(deriveKey(SECRET, 'client', first))).reply),
    ).toEqual([0, false])
  })

  it('rejects a key without a seed', () => {
    const server = machine('server')
    expect(statusAndData(server.receive(keyRequest('0'.repeat(64))).reply)).toEqual([6, false])
    expect(server.isTrusted).toBe(false)
  })

  it.each([...INVALID_TEXTS, ['true', true]])('rejects as a key %s', (_, key) => {
    const server = machine('server')
    requestSeed(server)
    expect(statusAndData(server.receive(keyRequest(key)).reply)).toEqual([0, false])
  })

  it('rejects an unsolicited seed or feedback', () => {
    const client = machine('client')
    const before = client.state
    expect(client.receive(seedResponse('5d'.repeat(32)))).toEqual({
      refused: 'a seed that was not requested',
    })
    expect(client.receive(feedback(true))).toEqual({ refused: 'feedback that was not requested' })
    expect([client.state, client.isTrusted]).toEqual([before, false])
    // A feedback is not accepted in place of a seed.
    client.begin()
    expect(client.receive(feedback(true)).refused).toBe('feedback that was not requested')
    expect(client.isTrusted).toBe(false)
  })

  it.each(INVALID_TEXTS)('rejects as a seed %s', (_, seed) => {
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
  ])('rejects the feedback %j with status %i', (data, status) => {
    const client = machine('client')
    client.begin()
    client.receive(seedResponse('5d'.repeat(32)))
    expect(client.receive(feedback(data, status))).toEqual({ settled: false })
    expect(client.isTrusted).toBe(false)
  })

  it('rejects its own seed when the peer reflects it', () => {
    const server = machine('server')
    const own = requestSeed(server)
    server.begin()
    const reaction = server.receive(seedResponse(own))
    expect(reaction).toEqual({ refused: "a seed of this side's own", settled: false })
  })

  it('rejects a key that a relay obtained from another server', () => {
    const [server, otherServer] = [machine('server'), machine('server')]
    const seed = requestSeed(server)
    // The relay passes the server's seed to the other server, which derives a key with its own
    // role.
    otherServer.begin()
    const key = otherServer.receive(seedResponse(seed)).reply as DataStorage
    expect(key.getData()).toMatch(HEX)
    expect(statusAndData(server.receive(key).reply)).toEqual([0, false])
    expect(server.isTrusted).toBe(false)
  })

  it.each([
    ['in upper case', '5D'.repeat(32)],
    ['of 62 digits', '5d'.repeat(31)],
    ['of 66 digits', '5d'.repeat(33)],
    ['that is not hex', 'zz'.repeat(32)],
    ['with a line break', `${'5d'.repeat(32)}\n`],
  ])('sends no key for a seed %s', (_, seed) => {
    const client = machine('client')
    client.begin()
    expect(client.receive(seedResponse(seed))).toEqual({
      refused: 'a response without a valid seed',
      settled: false,
    })
  })

  it('stays trusted until the connection ends, whatever keys follow a correct one', () => {
    const [client, server] = [machine('client'), machine('server')]
    expect(authenticate(client, server)).toBe(true)
    server.receive(keyRequest('without a seed'))
    requestSeed(server)
    expect(statusAndData(server.receive(keyRequest('wrong')).reply)).toEqual([0, false])
    client.begin()
    client.receive(seedResponse('5d'.repeat(32)))
    expect(client.receive(feedback(false))).toEqual({ settled: false })
    expect([client.isTrusted, server.isTrusted]).toEqual([true, true])
    for (const side of [client, server]) side.reset()
    expect([client.isTrusted, server.isTrusted]).toEqual([false, false])
  })

  it('rejects an unknown step', () => {
    const server = machine('server')
    expect(statusAndData(server.receive(message(0, 2, 'x')).reply)).toEqual([6, null])
    expect(server.receive(message(1, 2, 'x'))).toEqual({ refused: 'unknown data id' })
  })

  it('has neither trust nor a valid seed after the connection ends', () => {
    const [client, server] = [machine('client'), machine('server')]
    expect(authenticate(client, server)).toBe(true)
    const seed = requestSeed(server)
    for (const side of [client, server]) side.reset()
    expect([client.state, server.state]).toEqual([0, 0])
    const reaction = server.receive(keyRequest(deriveKey(SECRET, 'client', seed)))
    expect(statusAndData(reaction.reply)).toEqual([6, false])
  })
})

describe('the limit of authentication attempts', () => {
  it('is reached by wrong keys, and requests to close the connection after the last response', () => {
    const server = machine('server')
    for (let attempt = 1; attempt <= 5; attempt++) {
      requestSeed(server)
      const { reply, close = false } = server.receive(keyRequest('wrong'))
      expect([statusAndData(reply), close]).toEqual([[0, false], attempt === 5])
    }
    const more = server.receive(seedRequest)
    expect([statusAndData(more.reply), more.close]).toEqual([[6, null], true])
  })

  it('is reached by requests for seeds and by keys without a seed', () => {
    const flooded = machine('server')
    for (let i = 0; i < 5; i++) expect(requestSeed(flooded)).toMatch(HEX)
    expect(flooded.receive(seedRequest)).toMatchObject({ close: true })
    const server = machine('server')
    for (let i = 0; i < 4; i++) expect(server.receive(keyRequest('x')).close).toBe(undefined)
    expect(server.receive(keyRequest('x'))).toMatchObject({ close: true })
  })

  it('is reset by a success and by a new connection', () => {
    const [client, server] = [machine('client'), machine('server')]
    for (let i = 0; i < 20; i++) {
      requestSeed(server)
      if (i % 4 === 3) expect(authenticate(client, server)).toBe(true)
    }
    for (let i = 0; i < 20; i++) {
      server.reset()
      expect(requestSeed(server)).toMatch(HEX)
    }
  })
})

describe('an aborted authentication attempt', () => {
  it('ignores late responses, and so does the next attempt', () => {
    const [client, server] = [machine('client'), machine('server')]
    const first = server.receive(client.begin() as DataStorage).reply as DataStorage
    client.abandon()
    const second = server.receive(client.begin() as DataStorage).reply as DataStorage
    expect(client.receive(first).refused).toBe('a seed for an abandoned attempt')
    const key = client.receive(second).reply as DataStorage
    const late = server.receive(key).reply as DataStorage
    client.abandon()
    expect(client.receive(late).refused).toBe('feedback on an abandoned attempt')
    expect(client.isTrusted).toBe(false)
    expect(authenticate(client, server)).toBe(true)
  })
})

describe('deriveKey', () => {
  it('can be replaced on both sides', () => {
    const derive = (secret: Buffer, role: string, seed: string) =>
      `${secret.length} ${role} ${seed}`
    const [client, server] = [
      machine('client', { deriveKey: derive }),
      machine('server', { deriveKey: derive }),
    ]
    expect(authenticate(client, server)).toBe(true)
    expect(authenticate(machine('client'), server)).toBe(false)
  })

  it('fails the attempt if it throws or returns no text, without revealing the error', () => {
    for (const bad of [() => undefined, () => '', () => Promise.resolve('x')]) {
      expect(authenticate(machine('client', { deriveKey: bad as never }), machine('server'))).toBe(
        false,
      )
    }
    const throwing = () => {
      throw new Error('the secret is 9d3b 7f')
    }
    const server = machine('server', { deriveKey: throwing })
    expect(JSON.stringify(server.receive(seedRequest))).not.toContain('9d3b')
    expect(statusAndData(server.receive(keyRequest('x')).reply)).toEqual([0, false])
  })
})
