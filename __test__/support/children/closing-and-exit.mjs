// How channels and their process end. Runs the case named by its argument and prints each result as
// one line of JSON.
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { connect, pair } from 'fdwire'

const JSONCOMM = { protocol: 'jsoncomm' }
const report = value => console.log(JSON.stringify(value))

/** Sends until one message is queued. */
function fill(channel) {
  while (channel.send(0)) {}
}

/** Counts this process's open descriptors of the file that the cases send. */
const openCopies = () =>
  readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/full'
    } catch {
      return false
    }
  }).length

function sendTen(channel) {
  const fd = openSync('/dev/full', 'r')
  for (let i = 0; i < 10; i++) channel.send(i, { fds: [fd] })
  closeSync(fd)
}

/** Runs `work` if the process is still alive after 50 ms, without keeping it alive. */
const ifAlive = work => setTimeout(work, 50).unref()

const cases = {
  async 'unhandled-error'() {
    process.once('uncaughtException', error => report(`uncaught ${error.message}`))
    const [a, b] = pair(JSONCOMM)
    b.close()
    a.on('close', () => report('close'))
    a.destroy(new Error('fatal'))
  },

  async 'open-channel'() {
    const [a, b] = pair(JSONCOMM)
    b.unref()
    ifAlive(() => {
      report('still here')
      a.unref()
    })
  },

  async 'closed-channels'() {
    const [a, b] = pair(JSONCOMM)
    a.on('message', () => {})
    await Promise.all([a.close(), b.close()])
    report('end')
  },

  async unref() {
    const [a, b] = pair(JSONCOMM)
    const [c] = pair(JSONCOMM).map(channel => channel.unref())
    a.unref()
    b.unref()
    fill(a)
    fill(c)
    c.close({ timeout: 15_000 }).catch(() => {})
    process.on('exit', () => report('end'))
    await Promise.all([a.receive({ timeout: 15_000 }), a.flush()])
  },

  async 'unref-then-ref'() {
    const [a, b] = pair(JSONCOMM)
    a.unref().unref().ref().ref()
    b.unref()
    ifAlive(() => {
      report('still here')
      a.unref()
    })
  },

  async 'exit-with-queue'(name) {
    const channel = await connect(`\0${name}`, JSONCOMM)
    channel.unref()
    fill(channel)
    process.exit()
  },

  async 'exit-in-listener'() {
    const [a, b] = pair(JSONCOMM)
    b.on('message', value => {
      report(value)
      process.exit(7)
    })
    sendTen(a)
  },

  async 'throwing-listener'() {
    process.on('uncaughtException', error => report(error.message))
    const [a, b] = pair(JSONCOMM)
    const receiveAll = () =>
      new Promise(resolve => {
        b.on('message', (value, fds) => {
          report(value)
          fds.close()
          if (value === 9) setImmediate().then(resolve)
          if (value % 3 === 0) throw new Error(`uncaught ${value}`)
        })
      })
    report('direct')
    sendTen(a)
    await receiveAll()
    b.removeAllListeners('message')
    // The same with messages kept in the channel: receive() consumes only the first of the turn.
    a.send('first')
    sendTen(a)
    await b.receive()
    // In a new turn of the event loop, outside the native call that read these messages.
    await setImmediate()
    report('kept')
    await receiveAll()
    report(openCopies())
    a.destroy()
    b.destroy()
  },

  async 'listener-closes-and-throws'() {
    process.on('uncaughtException', error => report(error.message))
    for (const end of ['close', 'destroy']) {
      const [a, b] = pair(JSONCOMM)
      b.on('message', (value, fds) => {
        if (value > 1) report(`message ${value}`)
        fds.close()
        if (value === 0) return
        b[end]()
        throw new Error('uncaught')
      })
      sendTen(a)
      await once(b, 'close')
      await setImmediate()
      report(openCopies())
      a.destroy()
    }
  },
}

const [name, ...rest] = process.argv.slice(2)
await cases[name](...rest)
