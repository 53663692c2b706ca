// Garbage collection of sets that were not closed. Runs with --expose-gc and the name of a case,
// and prints JSON.
import { closeSync, openSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { FdSet, pair } from 'fdwire'

const warnings = []
process.on('warning', ({ code, message, detail }) => warnings.push({ code, message, detail }))

// Compares the file, because the number of a closed descriptor may be reused.
const open = () => openSync('/dev/zero', 'r')
const isOpen = fd => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/zero'
  } catch {
    return false
  }
}

/** Collects garbage in each turn of the event loop until `done`, or for 100 turns. */
async function collect(done = () => false) {
  for (let turn = 0; turn < 100 && !done(); turn++) {
    await setImmediate()
    globalThis.gc()
  }
  await setImmediate()
  await setImmediate()
}

let held

const cases = {
  async 'not-closed'() {
    const fds = { untouched: open(), lent: open(), taken: open(), iterated: open() }
    ;(() => {
      FdSet.from([fds.untouched])
      FdSet.from([fds.lent]).get(0)
      FdSet.from([fds.taken]).take(0)
      for (const _ of FdSet.from([fds.iterated]));
    })()
    await collect(() => warnings.length > 0)
    return fds
  },

  async closed() {
    const [closed, taken] = [open(), open()]
    await (async () => {
      const sets = [FdSet.from([closed]), FdSet.from([taken])]
      await setImmediate()
      sets[0].close()
      closeSync(sets[1].take(0))
    })()
    const unrelated = open()
    await collect()
    return { unrelated }
  },

  async sent() {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const sent = open()
    a.send(1, { fds: FdSet.from([sent]) })
    // In its own function, so that this stack frame holds no reference to the message.
    await (async () => (await b.receive()).fds.close())()
    await collect(() => warnings.length > 0)
    await Promise.all([a.close(), b.close()])
    return { sent }
  },

  async held() {
    const fd = open()
    held = FdSet.from([fd])
    await collect()
    return { held: fd }
  },
}

const fds = await cases[process.argv[2]]()
const state = Object.fromEntries(Object.entries(fds).map(([name, fd]) => [name, isOpen(fd)]))
console.log(JSON.stringify({ open: state, warnings }))
held?.close()
