// A socket-activated program: prints what listenFds() returns, and serves all of it with fdwire.
import { execFileSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { adopt, bind, listen } from 'fdwire'
import { listenFds } from 'fdwire/systemd'

const fds = listenFds()
// Node makes sockets for stdio, so those of the child are compared with the passed ones.
const links = fds.map(({ fd }) => readlinkSync(`/proc/self/fd/${fd}`))
const ofChild = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
const inherited = links.filter(link => ofChild.includes(link))
console.log(
  JSON.stringify({
    fds,
    again: listenFds(),
    left: Object.keys(process.env).filter(name => name.startsWith('LISTEN_')),
    inherited,
  }),
)
const TEXT = { protocol: 'lines' }

for (const { fd, name, kind } of fds) {
  if (kind === 'unix-dgram') {
    const channel = await bind({ fd }, { protocol: 'jsoncomm' })
    channel.on('message', (value, _fds, from) => channel.send([name, value], { to: from }))
  } else if (kind === 'unix-stream' || kind === 'tcp-socket') {
    serve(name, adopt(fd, TEXT))
  } else if (kind.endsWith('-listener')) {
    const listener = await listen({ fd }, TEXT)
    listener.on('connection', channel => serve(name, channel))
  }
}
console.log(JSON.stringify('ready'))

function serve(name, channel) {
  channel.on('message', text => channel.send(`${name}: ${text}`))
}
