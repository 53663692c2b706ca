/** Runs operations on a connection, and compares what happens with the model. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import type { Channel } from 'fdwire'
import { expect } from 'vitest'
import { loopTurns } from '../channels.js'
import { fdTargets } from '../descriptors.js'
import { End, type EndOptions, type Files } from './end.js'
import { type Operation, perform } from './operations.js'

/** How long a run may take to come to rest (ms). Nothing waits for anything but this process. */
const REST = 20_000

/** What all runs of the process have done. */
export const done = { runs: 0, operations: 0, messages: 0, descriptors: 0 }

/** Returns open descriptors of different devices, and a function that closes them. */
export function openFiles(): Files & { close(): void } {
  const fds = ['/dev/null', '/dev/zero', '/dev/full', '/dev/urandom'].map(path =>
    openSync(path, 'r'),
  )
  return {
    fds,
    ids: fds.map(fd => fstatSync(fd).rdev),
    close: () => {
      for (const fd of fds) closeSync(fd)
    },
  }
}

/**
 * Performs the operations on a new connection, then reads what is still to come and closes both ends.
 *
 * Fails if a message is lost, repeated, reordered or changed; if a promise does not settle, or a call
 * fails that must not; or if a descriptor stays open.
 */
export async function runModel(
  connect: () => Promise<readonly [Channel, Channel]>,
  options: EndOptions,
  operations: readonly Operation[],
): Promise<void> {
  const before = fdTargets().length
  done.runs++
  done.operations += operations.length
  const [a, b] = await connect()
  const ends = [new End(a, options), new End(b, options)] as const
  ends[0].peer = ends[1]
  ends[1].peer = ends[0]
  try {
    for (const operation of operations) {
      await perform(operation, ends)
      // Otherwise promises of messages that have arrived may not have called back.
      if (operation.do === 'wait') for (const end of ends) end.check()
    }
    await rest(ends, 'messages are missing', () => {
      for (const end of ends) end.drain()
      return !ends.some(end => end.isWaiting)
    })
    if (ends.every(({ state }) => state === 'open')) {
      await Promise.all(ends.map(end => end.channel.flush()))
      for (const end of ends) end.checkStats()
    }
    for (const end of ends) end.close()
    await rest(ends, 'a promise does not settle', () =>
      ends.every(end => end.isSettled && end.channel.closed),
    )
    for (const end of ends) end.check()
  } finally {
    for (const end of ends) {
      done.messages += end.sent.messages
      done.descriptors += end.sent.descriptors
      end.release()
      end.channel.destroy()
    }
  }
  await rest(ends, 'descriptors stay open', () => fdTargets().length <= before)
  expect(fdTargets().length).toBe(before)
}

/** Turns the event loop until a condition holds. */
async function rest(ends: readonly End[], what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + REST
  while (!holds()) {
    if (Date.now() > end) {
      throw new Error(`${what}:\n${ends.map(one => one.describe()).join('\n')}`)
    }
    await loopTurns(1)
    for (const one of ends) one.check()
  }
}
