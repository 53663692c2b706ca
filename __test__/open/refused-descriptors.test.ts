import { execFile } from 'node:child_process'
import { closeSync } from 'node:fs'
import { release } from 'node:os'
import { promisify } from 'node:util'
import { adopt, connect, listen, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'
import { SO_PASSRIGHTS, setSocketOption, socketOption } from '../support/socket-options.js'
import { afterTest, runCleanupsAfterEach } from '../support/streams.js'

runCleanupsAfterEach()

const [major = 0, minor = 0] = release().split('.').map(Number)
/** Whether the kernel has SO_PASSRIGHTS. */
const REFUSES = major > 6 || (major === 6 && minor >= 16)

const REFUSED = { thrown: 'EPERM', arrived: 'without' }
const MALFORMED = { thrown: null, arrived: 'ERR_FDWIRE_TOO_MANY_FDS' }
const KINDS = ['pair of seqpacket', 'pair of dgram', 'bind', 'listen']
const all = (result: unknown) => Object.fromEntries(KINDS.map(kind => [kind, result]))

async function run(command: string, ...args: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(command, args)
  return JSON.parse(stdout)
}

const CHILD = testPath('support/children/refusing-fds.mjs')
const FILTER = testPath('support/peers/without_passrights.py')

describe('descriptors that are sent to a channel with maxFds: 0', () => {
  it(`are ${REFUSES ? 'refused at their sender' : 'closed on arrival'} on this kernel`, async () => {
    expect(await run(process.execPath, CHILD)).toEqual(all(REFUSES ? REFUSED : MALFORMED))
  })

  it('make their message malformed on a kernel without SO_PASSRIGHTS', async () => {
    expect(await run('python3', FILTER, process.execPath, CHILD)).toEqual(all(MALFORMED))
  })
})

describe.runIf(REFUSES)('SO_PASSRIGHTS', () => {
  const STREAM = { protocol: 'raw' } as const

  it('is off from the first read on, and on again after detach', async () => {
    for (const type of ['stream', 'seqpacket', 'dgram'] as const) {
      const [mine, theirs] = pair({ protocol: 'raw', type })
      afterTest(() => void mine.destroy())
      expect(passrightsOf(theirs.fd)).toBe(1)
      mine.send('x')
      expect((await theirs.receive())?.value.toString()).toBe('x')
      expect(passrightsOf(theirs.fd)).toBe(0)
      const fd = theirs.detach()
      expect(passrightsOf(fd)).toBe(1)
      closeSync(fd)
    }
  })

  it('stays on where descriptors are accepted, or messages in a memfd', async () => {
    const takers = [
      pair({ ...STREAM, maxFds: 1 }),
      pair({ protocol: 'jsoncomm', type: 'seqpacket', maxFds: 0 }),
    ] as const
    for (const [mine, theirs] of takers) {
      theirs.on('message', () => {})
      expect(passrightsOf(theirs.fd)).toBe(1)
      mine.destroy()
      theirs.destroy()
    }
  })

  it('is off on a listener and its connections, and on again if one is detached', async () => {
    for (const type of ['stream', 'seqpacket'] as const) {
      const listener = await listen(null, { protocol: 'raw', type })
      const client = await connect(listener.address as string, { protocol: 'raw', type })
      const accepted = (await listener[Symbol.asyncIterator]().next()).value
      if (accepted === undefined) throw new Error('No connection')
      expect(passrightsOf(listener.fd)).toBe(0)
      expect(passrightsOf(accepted.fd)).toBe(0)
      const fd = accepted.detach()
      expect(passrightsOf(fd)).toBe(1)
      closeSync(fd)
      client.destroy()
      await listener.close()
    }
  })

  it('is turned on for an adopted socket that accepts descriptors, and off again by detach', async () => {
    const [mine, theirs] = pair({ ...STREAM, maxFds: 1 })
    afterTest(() => void mine.destroy())
    const fd = theirs.detach()
    setSocketOption(fd, SO_PASSRIGHTS, 0)
    const taking = adopt(fd, { ...STREAM, maxFds: 1 })
    expect(passrightsOf(fd)).toBe(0)
    taking.on('message', () => {})
    expect(passrightsOf(fd)).toBe(1)
    expect(taking.detach()).toBe(fd)
    expect(passrightsOf(fd)).toBe(0)
    closeSync(fd)
  })
})

function passrightsOf(fd: number): number {
  return socketOption(fd, SO_PASSRIGHTS)
}
