// Both sides of a channel that moves, as a process or a worker thread: run with a case and options.
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { adopt } from 'fdwire'

/** The next messages, at least `count`, up to a moment in which the channel can be detached. */
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
  /** Sends numbers until it is told to stop, and then how many there were. */
  async numbers(options) {
    const channel = adopt(3, options)
    let stopped = false
    channel.once('message', () => {
      stopped = true
    })
    let next = 0
    while (!stopped) {
      for (let i = 0; i < 20; i++) if (!channel.send(next++)) await once(channel, 'drain')
      // As fast as it can, it would take long to find a moment between two messages of a stream.
      await setTimeout(1)
    }
    channel.send({ count: next })
    await channel.close()
  },

  /** A process that is sent a socket, takes some messages there, and sends it back. */
  async takes(options) {
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

if (!isMainThread && workerData?.moving !== undefined) {
  const channel = adopt(workerData.moving.fd, workerData.moving.options)
  const messages = await takeUntilQuiet(channel, 100)
  parentPort.postMessage({ values: valuesOf(messages), fd: channel.detach() })
} else if (process.argv[2] in cases) {
  await cases[process.argv[2]](JSON.parse(process.argv[3]))
}
