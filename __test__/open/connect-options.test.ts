import { connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import {
  abstractName,
  acceptNext,
  afterTest,
  FRAMES,
  LINES,
  runCleanupsAfterEach,
  startListener,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

describe('connections that alternate between options and addresses', () => {
  it('each have the options of their own call', async () => {
    const servers = [
      { options: LINES, address: abstractName() },
      { options: { ...FRAMES, maxMessage: 4 }, address: abstractName() },
      { options: { ...FRAMES, maxMessage: 8 }, address: abstractName() },
    ]
    const listeners = []
    for (const { options, address } of servers) {
      const listener = await startListener(address, { protocol: options.protocol })
      afterTest(() => listener.close())
      listeners.push(listener)
    }
    for (const length of [4, 5, 8, 9]) {
      const outcomes: unknown[] = []
      for (const [at, { options, address }] of servers.entries()) {
        const client = track(await connect(address, options))
        const server = track(await acceptNext(listeners[at] as never))
        server.send('x'.repeat(length) as never)
        outcomes.push(
          await client.receive().then(
            message => message?.value?.toString().length,
            error => error.code,
          ),
        )
        client.destroy()
      }
      const tooLarge = 'ERR_FDWIRE_MESSAGE_TOO_LARGE'
      expect(outcomes).toEqual([
        length,
        length > 4 ? tooLarge : length,
        length > 8 ? tooLarge : length,
      ])
    }
  })

  it('go to the address of their own call after one to an address without a listener', async () => {
    const [open, closed] = [abstractName(), abstractName()]
    const listener = await startListener(open, LINES)
    afterTest(() => listener.close())
    for (let round = 0; round < 3; round++) {
      const refused = { code: 'ECONNREFUSED', syscall: 'connect', path: closed }
      await expect(connect(closed, LINES)).rejects.toMatchObject(refused)
      const client = track(await connect(open, LINES))
      expect(client.remoteAddress).toBe(open)
    }
  })
})
