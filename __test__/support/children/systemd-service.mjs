// A service of systemd that calls the functions of fdwire/systemd, as its clients ask it to.
import { createMemfd, listen, mapMemfd } from 'fdwire'
import * as systemd from 'fdwire/systemd'

const passed = systemd.listenFds()
const control = passed.find(({ name }) => name === 'control')
const dog = systemd.watchdog()
const calls = {
  ...systemd,
  passed: () =>
    passed.map(({ fd, name, kind }) => ({
      name,
      kind,
      content: kind === 'memfd' ? mapMemfd(fd).toString() : null,
    })),
  store: (name, content) => systemd.storeFds(name, createMemfd(content)),
  dog: call => dog?.[call] ?? null,
  startDog: () => dog.start(),
  stopDog: () => dog.stop(),
  fail: () => process.exit(3),
}

const listener = await listen({ fd: control.fd }, { protocol: 'lines', encoding: 'json' })
listener.on('connection', channel => {
  channel.on('message', async ([call, ...args]) => {
    try {
      channel.send({ result: (await calls[call](...args)) ?? null })
    } catch (error) {
      channel.send({ error: error.message })
    }
  })
})
await systemd.ready()
