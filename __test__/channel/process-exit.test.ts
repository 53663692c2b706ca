import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  destroyChannelsAfterEach,
  KERNEL_QUEUE_LENGTH,
  receiveValues,
} from '../support/channels.js'

destroyChannelsAfterEach()

/** Runs a case of children/ends.mjs; returns its output and exit code. */
async function runChild(
  name: string,
): Promise<{ printed: unknown[]; code: number; stderr: string }> {
  const file = fileURLToPath(new URL('../support/children/ends.mjs', import.meta.url))
  const run = promisify(execFile)(process.execPath, [file, name], { timeout: 20_000 })
  const { stdout, stderr, code } = await run.then(
    output => ({ ...output, code: 0 }),
    error => error,
  )
  const lines = String(stdout).split('\n').filter(Boolean)
  return { printed: lines.map(line => JSON.parse(line)), code, stderr }
}

describe('a process', () => {
  it('stays alive while a channel is open, reading or not', async () => {
    expect(await runChild('open-channel')).toMatchObject({ printed: ['still here'], code: 0 })
  })

  it('ends when its channels are closed', async () => {
    expect(await runChild('closed-channels')).toMatchObject({ printed: ['end'], code: 0 })
  })

  it("ends when its channels are unref'd, even if they are sending, awaited or closing", async () => {
    const { printed, code } = await runChild('unref')
    // Exit code 13: a top-level await that never settles.
    expect([printed, code]).toEqual([['end'], 13])
  })

  it('stays alive after unref and ref', async () => {
    expect(await runChild('unref-then-ref')).toMatchObject({ printed: ['still here'], code: 0 })
  })

  it('exits with a queue without waiting, and what the kernel has taken arrives', async () => {
    const receiver = await boundChannel()
    const file = fileURLToPath(new URL('../support/children/ends.mjs', import.meta.url))
    const name = String(receiver.localAddress).slice(1)
    await promisify(execFile)(process.execPath, [file, 'exit-with-queue', name], {
      timeout: 20_000,
    })
    // The kernel has taken no more than these when the child exits.
    expect(await receiveValues(receiver, KERNEL_QUEUE_LENGTH)).toHaveLength(KERNEL_QUEUE_LENGTH)
  })

  it('can exit in a listener', async () => {
    expect(await runChild('exit-in-listener')).toMatchObject({ printed: [0], code: 7 })
  })

  it('loses no message after a listener throws, and gets each exception once', async () => {
    const { printed, code, stderr } = await runChild('throwing-listener')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const expected = Array.from({ length: 10 }, (_, i) => (i % 3 ? i : [i, `uncaught ${i}`])).flat()
    expect(printed).toEqual(['direct', ...expected, 'kept', ...expected, 0])
  })

  it('leaves nothing open after a listener ends the channel and throws', async () => {
    const { printed, code, stderr } = await runChild('listener-closes-and-throws')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(printed).toEqual(['uncaught', 0, 'uncaught', 0])
  })
})
