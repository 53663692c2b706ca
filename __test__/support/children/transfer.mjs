// The other end of a transferred channel, or its new owner, as a child process (arguments: case,
// options) or a worker thread.
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { adopt } from 'fdwire'

/**
 * Receives at least `count` messages and continues until the channel is quiet and can be detached.
 */
export async function takeUntilQuiet(channel, count) {
  const messages = []
  channel.pause()
  for (;;) {
    const { queued, unread, inHand } = channel.stats
    if (queued > 0) await channel.flush()
    else if (messages.length >= count && unread === 0 && inHand === 0) return messages
    else messages.push(await channel.receive())
  }
}

const valuesOf = messages => messages.map(({ value }) => value)

const cases = {
  /** Sends numbers until a message arrives, then sends their count. */
  async numbers(options) {
    const channel = adopt(3, options)
    let stopped = false
    channel.once('message', () => {
      stopped = true
    })
    let next = 0
    while (!stopped) {
      for (let i = 0; i < 20; i++) if (!channel.send(next++)) await once(channel, 'drain')
      // Without a pause, the receiver of a stream would rarely be quiet between two messages.
      await setTimeout(1)
    }
    channel.send({ count: next })
    await channel.close()
  },

  /** Receives a socket, receives some messages on it and sends the socket back. */
  async 'borrows-socket'(options) {
    const control = adopt(3, { protocol: 'length_prefixed', encoding: 'json', maxFds: 1 })
    const { fds } = await control.receive()
    const channel = adopt(fds.take(0), options)
    const messages = await takeUntilQuiet(channel, 100)
    const fd = channel.detach()
    control.send(valuesOf(messages), { fds: [fd] })
    closeSync(fd)
    await control.close()
  },
}

if (!isMainThread && workerData?.transfer !== undefined) {
  const channel = adopt(workerData.transfer.fd, workerData.transfer.options)
  const messages = await takeUntilQuiet(channel, 100)
  parentPort.postMessage({ values: valuesOf(messages), fd: channel.detach() })
} else if (process.argv[2] in cases) {
  await cases[process.argv[2]](JSON.parse(process.argv[3]))
}
