/** fdwire/systemd: the native protocol of the journal. */
import { execFile, spawnSync } from 'node:child_process'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bind } from 'fdwire'
import { journal } from 'fdwire/systemd'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

/** Starts a journal in Python at an address. */
async function startJournal(address = join(temporaryDirectory(), 'journal')) {
  const peer = new Peer('python3', ['-B', testPath('support/peers/journal.py'), address])
  expect(await peer.receive()).toBe('ready')
  return { peer, address }
}

describe('systemd-journald', () => {
  // In a mount namespace of its own, in which /run is empty: the journal there is a new one.
  const SCRIPT = `
    set -e
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/journal /run/log/journal
    /lib/systemd/systemd-journald >/dev/null 2>&1 &
    daemon=$!
    until [ -S /run/systemd/journal/socket ]; do kill -0 $daemon; done
    "$0" "$1"
    journalctl --sync
    journalctl --all --output=json --no-pager SYSLOG_IDENTIFIER=fdwire-test
    kill $daemon
    wait $daemon || true`
  const UNSHARE = [...(process.getuid?.() === 0 ? [] : ['--map-root-user']), '--mount', 'sh', '-c']
  const possible = spawnSync('unshare', [...UNSHARE, 'mount -t tmpfs tmpfs /run']).status === 0

  // This needs the privilege to create a namespace.
  it.runIf(possible)(
    'stores entries with all their fields, small ones and those in a memfd, in order',
    async () => {
      const program = [process.execPath, testPath('support/children/journal.mjs')]
      const { stdout } = await promisify(execFile)('unshare', [...UNSHARE, SCRIPT, ...program], {
        maxBuffer: 2 ** 26,
        timeout: 28_000,
      })
      const [taken, ...lines] = stdout.trim().split('\n')
      expect(taken).toBe('true')
      const entries = lines.map(line => JSON.parse(line))
      expect(entries.slice(0, 2)).toMatchObject([
        { MESSAGE: 'one line', PRIORITY: '5', _TRANSPORT: 'journal', EMPTY: '' },
        { MESSAGE: 'two\nlines', NUMBER: ['1', '2'], BYTES: [10, 255] },
      ])
      expect(entries[2].MESSAGE).toBe('large')
      expect(entries[2].LARGE === `${'x'.repeat(1_000_000)}\nend`).toBe(true)
      const numbers = Array.from({ length: 200 }, (_, i) => `number ${i}`)
      expect(entries.slice(3).map(({ MESSAGE }) => MESSAGE)).toEqual(numbers)
    },
  )
})

describe('an entry', () => {
  it('has fields of text, numbers and bytes, with one value or several', async () => {
    const { peer, address } = await startJournal()
    const fields = {
      MESSAGE: 'é',
      PRIORITY: 3,
      MESSAGE_ID: 'a=b',
      COUNT: [1, 2n, 'three'],
      LINES: 'one\ntwo\n',
      BYTES: new Uint16Array([0x0a00, 0xfffe]),
      EMPTY: '',
      NONE: undefined,
    }
    expect(await journal(fields, { address })).toBe(true)
    expect(await peer.receive()).toEqual({
      fields: {
        MESSAGE: ['\xc3\xa9'],
        PRIORITY: ['3'],
        MESSAGE_ID: ['a=b'],
        COUNT: ['1', '2', 'three'],
        LINES: ['one\ntwo\n'],
        BYTES: ['\0\n\xfe\xff'],
        EMPTY: [''],
      },
      sealed: null,
    })
  })

  it('is in a sealed memfd exactly if it is too large for a datagram', async () => {
    const { peer, address } = await startJournal()
    const before = fdTargets().length
    const results = []
    for (const length of [100_000, 1_000_000, 5_000_000]) {
      expect(await journal({ MESSAGE: 'x'.repeat(length) }, { address })).toBe(true)
      const { fields, sealed } = await peer.receive()
      results.push([fields.MESSAGE[0].length === length, sealed])
    }
    expect(results).toEqual([
      [true, null],
      [true, true],
      [true, true],
    ])
    await expect.poll(() => fdTargets().length).toBe(before)
  })

  it('precedes those of later calls, whatever their sizes are', async () => {
    const { peer, address } = await startJournal(`@fdwire-journal-${process.pid}`)
    const sent = Array.from({ length: 60 }, (_, i) =>
      journal({ NUMBER: i, FILLER: 'x'.repeat(i % 7 === 0 ? 400_000 : 10) }, { address }),
    )
    for (let i = 0; i < 60; i++) {
      expect((await peer.receive()).fields.NUMBER).toEqual([String(i)])
    }
    expect((await Promise.all(sent)).every(Boolean)).toBe(true)
  })

  it('resolves to false if there is no journal', async () => {
    const address = join(temporaryDirectory(), 'missing')
    expect(await journal({ MESSAGE: 'x' }, { address })).toBe(false)
  })

  it('fails if the journal does not read for the timeout, or is not running', async () => {
    const address = join(temporaryDirectory(), 'journal')
    const stuck = track(await bind(address, { protocol: 'raw', type: 'dgram' }))
    const sent = Array.from({ length: 30 }, () =>
      journal({ MESSAGE: 'x' }, { address, timeout: 100 }),
    )
    expect((await Promise.allSettled(sent)).at(-1)).toMatchObject({
      reason: { code: 'ERR_FDWIRE_TIMEOUT' },
    })
    // A closed channel would remove its path.
    closeSync(stuck.detach())
    await expect(journal({ MESSAGE: 'x' }, { address })).rejects.toEqual(
      errorWithCode('ECONNREFUSED'),
    )
  })

  it.each([
    ['no field', {}, TypeError, /at least one field/],
    ['no defined field', { MESSAGE: undefined }, TypeError, /at least one field/],
    ['no value', { MESSAGE: [] }, TypeError, /at least one field/],
    ['a lower-case name', { message: 'x' }, RangeError, /A-Z, 0-9 and _/],
    ['a protected name', { _PID: 1 }, RangeError, /begins with a letter/],
    ['a name with =', { 'A=B': 1 }, RangeError, /not 'A=B'/],
    ['a long name', { ['A'.repeat(65)]: 1 }, RangeError, /1 to 64 characters/],
    ['an object', { MESSAGE: {} }, TypeError, /MESSAGE must be a string, a number/],
    ['null', { MESSAGE: null }, TypeError, /not null/],
    ['text instead of fields', 'MESSAGE=x', TypeError, /journal takes an object of fields/],
  ])('is refused if it has %s', async (_, fields, type, message) => {
    const error = await journal(fields as never).then(
      () => expect.unreachable(),
      thrown => thrown,
    )
    expect(error).toBeInstanceOf(type)
    expect(error.message).toMatch(message)
  })

  it('is refused with a lone surrogate, a relative address or an unknown option', async () => {
    const fields = { MESSAGE: 'x' }
    await expect(journal({ MESSAGE: '\udc00' })).rejects.toEqual(errorWithCode('ILL_FORMED_TEXT'))
    await expect(journal(fields, { address: 'x' })).rejects.toEqual(errorWithCode('BAD_ADDRESS'))
    await expect(journal(fields, { path: '/x' } as never)).rejects.toThrow(/no option path/)
    await expect(journal(fields, { address: 1 } as never)).rejects.toThrow(/address must be/)
  })
})
