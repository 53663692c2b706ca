// Ends of channels and of the process: run with a case, prints a line of JSON for each thing told.
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { connect, pair } from 'fdwire'

const JSONCOMM = { protocol: 'jsoncomm' }
const tell = what => console.log(JSON.stringify(what))

/** Sends until one message is queued. */
function fill(channel) {
  while (channel.send(0)) {}
}

/** Open descriptors of the file that is sent here. */
const sent = () =>
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

/** A timer that fires though it keeps nothing alive. */
const whileAlive = work => setTimeout(work, 50).unref()

const cases = {
  async unheard() {
    process.once('uncaughtException', error => tell(`uncaught ${error.message}`))
    const [a, b] = pair(JSONCOMM)
    b.close()
    a.on('close', () => tell('close'))
    a.destroy(new Error('fatal'))
  },

  async stays() {
    const [a, b] = pair(JSONCOMM)
    b.unref()
    whileAlive(() => {
      tell('still here')
      a.unref()
    })
  },

  async closed() {
    const [a, b] = pair(JSONCOMM)
    a.on('message', () => {})
    await Promise.all([a.close(), b.close()])
    tell('end')
  },

  async unrefd() {
    const [a, b] = pair(JSONCOMM)
    const [c] = pair(JSONCOMM).map(channel => channel.unref())
    a.unref()
    b.unref()
    fill(a)
    fill(c)
    c.close({ timeout: 15_000 }).catch(() => {})
    process.on('exit', () => tell('end'))
    await Promise.all([a.receive({ timeout: 15_000 }), a.flush()])
  },

  async rerefd() {
    const [a, b] = pair(JSONCOMM)
    a.unref().unref().ref().ref()
    b.unref()
    whileAlive(() => {
      tell('still here')
      a.unref()
    })
  },

  async exits(name) {
    const channel = await connect(`\0${name}`, JSONCOMM)
    channel.unref()
    fill(channel)
    process.exit()
  },

  async 'exit-in-listener'() {
    const [a, b] = pair(JSONCOMM)
    b.on('message', value => {
      tell(value)
      process.exit(7)
    })
    sendTen(a)
  },

  async throws() {
    process.on('uncaughtException', error => tell(error.message))
    const [a, b] = pair(JSONCOMM)
    const all = () =>
      new Promise(resolve => {
        b.on('message', (value, fds) => {
          tell(value)
          fds.close()
          if (value === 9) setTimeout(resolve, 1)
          if (value % 3 === 0) throw new Error(`uncaught ${value}`)
        })
      })
    tell('direct')
    sendTen(a)
    await all()
    b.removeAllListeners('message')
    // The same with messages that were kept: the first turn is one message long for its consumer.
    a.send('first')
    sendTen(a)
    await b.receive()
    // In a turn of the loop's own: native code does not come back for what is behind here.
    await setImmediate()
    tell('kept')
    await all()
    tell(sent())
    a.destroy()
    b.destroy()
  },

  async 'ends-and-throws'() {
    process.on('uncaughtException', error => tell(error.message))
    for (const end of ['close', 'destroy']) {
      const [a, b] = pair(JSONCOMM)
      b.on('message', (value, fds) => {
        if (value > 1) tell(`message ${value}`)
        fds.close()
        if (value === 0) return
        b[end]()
        throw new Error('uncaught')
      })
      sendTen(a)
      await once(b, 'close')
      await setImmediate()
      tell(sent())
      a.destroy()
    }
  },
}

const [name, ...rest] = process.argv.slice(2)
await cases[name](...rest)
