import dns from 'node:dns/promises'
import { syncBuiltinESMExports } from 'node:module'
import { connect, listen, type TcpAddress, type WaitOptions } from 'fdwire'
import { beforeEach, describe, expect, it } from 'vitest'
import { errorWithCode } from '../support/channels.js'
import { afterTest, LINES, runCleanupsAfterEach } from '../support/streams.js'

runCleanupsAfterEach()

const UNRESOLVED = { host: 'host.invalid', port: 1 }

type Open = (address: TcpAddress, options: WaitOptions & typeof LINES) => Promise<unknown>

describe.each<[string, Open]>([
  ['listen', listen],
  ['connect', connect],
])('%s while a host name is not resolved', (_, open) => {
  beforeEach(() => {
    const { lookup } = dns
    afterTest(() => {
      dns.lookup = lookup
      syncBuiltinESMExports()
    })
    dns.lookup = (() => new Promise(() => {})) as never
    syncBuiltinESMExports()
  })

  it('fails at its timeout', async () => {
    const late = open(UNRESOLVED, { ...LINES, timeout: 20 })
    await expect(late).rejects.toEqual(errorWithCode('TIMEOUT'))
    await expect(late).rejects.toThrow(/host\.invalid.* within 20 ms$/)
  })

  it('rejects with an AbortError at the abort of its signal', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = open(UNRESOLVED, { ...LINES, timeout: 0, signal: controller.signal })
    controller.abort(reason)
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError', cause: reason })
  })
})
