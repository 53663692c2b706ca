/**
 * Many open connections to one server. Each is answered. One more than the limit waits until another ends.
 * When half of the client processes are killed and the others close, the server has no descriptor of them.
 */
import { connect } from 'fdwire'
import { check, openFds, until } from '../accounts.mjs'
import { inFolder, kill, start, warmUp } from '../children.mjs'

export const title = 'Many connections to one server'
export const options = { connections: { short: 1_000, long: 10_000 } }

/** Descriptors that the server has open in addition to its connections. */
const SPARE = 100
const TYPES = ['stream', 'seqpacket']
const PROCESSES = 2

/** A case is a type of socket; an execution is a connection. */
export const count = figures => ({
  cases: TYPES.length,
  executions: TYPES.reduce((sum, type) => sum + figures[type].connections, 0),
})

export async function run({ connections }) {
  await warmUp()
  const figures = {}
  for (const type of TYPES) figures[type] = await inFolder(f => runType(type, f, connections))
  return figures
}

async function runType(type, folder, connections) {
  const settings = { type, folder, connections, nofile: connections + SPARE }
  const server = start('many-server.mjs', settings, { node: ['--expose-gc'] })
  const { rss, address } = await server.next()
  const open = openFds(server.child.pid)
  const share = connections / PROCESSES
  const clients = Array.from({ length: PROCESSES }, () =>
    start('many-clients.mjs', { ...settings, address, connections: share }),
  )
  await Promise.all(clients.map(client => client.next()))
  for (const client of clients) check((await client.ask('request')).replies === share, 'No reply')
  const full = await server.ask('count')
  check(full.connections === connections, `${full.connections} of ${connections} connections`)

  // One more than the limit waits in the backlog.
  const [protocol, options] = [type === 'stream' ? 'length_prefixed' : 'jsoncomm', { type }]
  const encoding = type === 'stream' ? { encoding: 'json' } : {}
  const late = await connect(address, { protocol, ...options, ...encoding })
  const reply = late.request({ i: 0 }, { timeout: 0 })
  check((await server.ask('count')).connections === connections, 'One more than the limit is open')
  await kill(clients[0])
  check((await reply).value.i === 0, 'The connection that has waited is not served')
  check((await clients[1].ask('request')).replies === share, 'No reply after the others have died')
  await clients[1].ask('close')
  await late.close()
  await kill(clients[1])
  await until(
    () => openFds(server.child.pid) === open,
    () => `${open} descriptors in the server; there are ${openFds(server.child.pid)}`,
  )
  const left = await server.ask('count')
  await kill(server)
  return {
    connections,
    bytesPerConnection: Math.round((full.rss - rss) / connections),
    heapLeft: left.heapUsed,
  }
}
