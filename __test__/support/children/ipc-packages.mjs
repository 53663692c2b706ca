// One end of a conversation, with an npm package that npm run test:peers installs in target/peers.
//
// Arguments: the name of a case, and the path. Prints 'ready' when a server listens, and what it
// receives as JSON.
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname } from 'node:path'

const require = createRequire(new URL('../../../target/peers/package.json', import.meta.url))
const report = value => console.log(JSON.stringify(value))
const [name, path] = process.argv.slice(2)

const cases = {
  'node-ipc client'() {
    const ipc = nodeIpc()
    const id = basename(path).replace('app.', '')
    ipc.connectTo(id, () => {
      const server = ipc.of[id]
      server.on('connect', () => server.emit('greet', { name: 'Ada' }))
      server.on('greeting', data => {
        report(data)
        ipc.disconnect(id)
      })
    })
  },

  'node-ipc server'() {
    const ipc = nodeIpc()
    ipc.serve(path, () => {
      ipc.server.on('greet', ({ name }, socket) => {
        ipc.server.emit(socket, 'greeting', { text: `hello ${name}` })
      })
      report('ready')
    })
    ipc.server.start()
  },

  'usocket client'() {
    const { USocket } = require('usocket')
    const fd = openSync('/proc/self/cmdline', 'r')
    // It must not read before it is connected.
    const socket = new USocket(path, () => {
      socket.write({ data: Buffer.from('mine'), fds: [fd] })
      socket.on('readable', () => {
        const message = socket.read(5, 1)
        if (message === null) return
        report([String(message.data), readFileSync(message.fds[0], 'utf8')])
        closeSync(message.fds[0])
        socket.end()
      })
    })
  },
}

function nodeIpc() {
  const { IPC } = require('node-ipc')
  const ipc = new IPC()
  Object.assign(ipc.config, { socketRoot: `${dirname(path)}/`, silent: true })
  return ipc
}

cases[name]()
