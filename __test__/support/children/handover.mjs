// A party of a handover that stops at a certain point, and says so on a line: to be killed there.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { connect, listen } from 'fdwire'
import { serve } from '../../../examples/handover/handover.mjs'

const OPTIONS = { protocol: 'jsoncomm', type: 'seqpacket' }
const [, , role, control] = process.argv
const forEver = () => new Promise(() => setInterval(() => {}, 60_000))
const say = line => console.log(line)

const roles = {
  /** A successor that gets the listening socket, and doesn't say that it has it. */
  async 'has-listener'() {
    const channel = await connect(control, OPTIONS)
    channel.send({ take: true })
    const { fds } = await channel.receive()
    say(`got ${fds.kind(0)}`)
    await forEver()
  },
  /** A successor that listens, gets connections, and doesn't say that it has them. */
  async 'has-connections'() {
    const channel = await connect(control, OPTIONS)
    channel.send({ take: true })
    const { fds: first } = await channel.receive()
    channel.send({ have: 1 })
    await channel.receive()
    const { fds } = await channel.receive()
    say(`got ${first.length + fds.length}`)
    await forEver()
  },
  /** A predecessor that has handed over everything, and doesn't end. */
  async 'has-done'() {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const desk = await listen(control, OPTIONS)
    say(`listens at ${server.address().port}`)
    for await (const channel of desk) {
      await channel.receive()
      channel.send({ listener: true }, { fds: [server] })
      await channel.receive()
      server.close()
      channel.sendAll([{ go: true }, { done: true }])
      await channel.receive()
      say('done')
      await forEver()
    }
  },
  /** A server that ends a response when, in mid-handover, another one has just gone out. */
  async entangled() {
    let held
    const answer = {
      '/hold': response => {
        held = response
      },
      async '/next'(response) {
        await setTimeout(10)
        response.end('next')
      },
      async '/release'(response) {
        while (server.listening) await setImmediate()
        response.once('finish', () => held.end('held'))
        response.end('released')
      },
    }
    const server = createServer(({ url }, response) => answer[url](response))
    await serve(server, { address: { host: '127.0.0.1', port: 0 }, control })
    say(`listens at ${server.address().port}`)
  },
  /** A server without patience. */
  async impatient() {
    const server = createServer((_request, response) => response.end(`${process.pid}\n`))
    await serve(server, { address: { host: '127.0.0.1', port: 0 }, control, patience: 200 })
    process.on('warning', ({ message }) => say(message))
    say(`listens at ${server.address().port}`)
  },
}

await roles[role]()
