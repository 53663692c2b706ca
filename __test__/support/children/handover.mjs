// A process that takes part in a handover, stops at a certain point and prints a line, so that the
// test can kill it there.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { connect, listen } from 'fdwire'
import { serve } from '../../../examples/handover/handover.mjs'

const OPTIONS = { protocol: 'jsoncomm', type: 'seqpacket' }
const [, , role, control] = process.argv
const hang = () => new Promise(() => setInterval(() => {}, 60_000))
const print = line => console.log(line)

const roles = {
  /** A successor that receives the listening socket and does not acknowledge it. */
  async 'keeps-listener'() {
    const channel = await connect(control, OPTIONS)
    channel.send({ take: true })
    const { fds } = await channel.receive()
    print(`received ${fds.kind(0)}`)
    await hang()
  },
  /** A successor that acknowledges the listening socket, but not the connections. */
  async 'keeps-connections'() {
    const channel = await connect(control, OPTIONS)
    channel.send({ take: true })
    const { fds: first } = await channel.receive()
    channel.send({ have: 1 })
    await channel.receive()
    const { fds } = await channel.receive()
    print(`received ${first.length + fds.length}`)
    await hang()
  },
  /** A predecessor that hands over everything and does not exit. */
  async 'keeps-running'() {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const listener = await listen(control, OPTIONS)
    print(`Listening on port ${server.address().port}`)
    for await (const channel of listener) {
      await channel.receive()
      channel.send({ listener: true }, { fds: [server] })
      await channel.receive()
      server.close()
      channel.sendAll([{ go: true }, { done: true }])
      await channel.receive()
      print('done')
      await hang()
    }
  },
  /** A server that finishes a held response right after another one, during a handover. */
  async 'held-response'() {
    let held
    const handlers = {
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
    const server = createServer(({ url }, response) => handlers[url](response))
    await serve(server, { address: { host: '127.0.0.1', port: 0 }, control })
    print(`Listening on port ${server.address().port}`)
  },
  /** A server that waits only 200 ms for its successor. */
  async 'short-timeout'() {
    const server = createServer((_request, response) => response.end(`${process.pid}\n`))
    await serve(server, { address: { host: '127.0.0.1', port: 0 }, control, timeout: 200 })
    process.on('warning', ({ message }) => print(message))
    print(`Listening on port ${server.address().port}`)
  },
}

await roles[role]()
