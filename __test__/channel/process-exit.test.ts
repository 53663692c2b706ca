import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  destroyChannelsAfterEach,
  KERNEL_QUEUE_LENGTH,
  receiveValues,
} from '../support/channels.js'
import { runClosingAndExit, testPath } from '../support/processes.js'

destroyChannelsAfterEach()

describe('a process', () => {
  it('stays alive while a channel is open, reading or not', async () => {
    expect(await runClosingAndExit('open-channel')).toMatchObject({
      printed: ['still here'],
      code: 0,
    })
  })

  it('ends when its channels are closed', async () => {
    expect(await runClosingAndExit('closed-channels')).toMatchObject({ printed: ['end'], code: 0 })
  })

  it("ends when its channels are unref'd, even if they are sending, awaited or closing", async () => {
    const { printed, code } = await runClosingAndExit('unref')
    // Exit code 13: a top-level await that never settles.
    expect([printed, code]).toEqual([['end'], 13])
  })

  it('stays alive after unref and ref', async () => {
    expect(await runClosingAndExit('unref-then-ref')).toMatchObject({
      printed: ['still here'],
      code: 0,
    })
  })

  it('exits without sending its queue, but every message that the kernel has taken arrives', async () => {
    const receiver = await boundChannel()
    const file = testPath('support/children/closing-and-exit.mjs')
    const name = String(receiver.localAddress).slice(1)
    await promisify(execFile)(process.execPath, [file, 'exit-with-queue', name], {
      timeout: 20_000,
    })
    // The kernel has taken no more than these when the child exits.
    expect(await receiveValues(receiver, KERNEL_QUEUE_LENGTH)).toHaveLength(KERNEL_QUEUE_LENGTH)
  })

  it('can exit in a listener', async () => {
    expect(await runClosingAndExit('exit-in-listener')).toMatchObject({ printed: [0], code: 7 })
  })

  it('loses no message after a listener throws, and gets each exception once', async () => {
    const { printed, code, stderr } = await runClosingAndExit('throwing-listener')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const expected = Array.from({ length: 10 }, (_, i) => (i % 3 ? i : [i, `uncaught ${i}`])).flat()
    expect(printed).toEqual(['direct', ...expected, 'kept', ...expected, 0])
  })

  it('leaves nothing open after a listener ends the channel and throws', async () => {
    const { printed, code, stderr } = await runClosingAndExit('listener-closes-and-throws')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(printed).toEqual(['uncaught', 0, 'uncaught', 0])
  })
})
