/** A server with many connections, which answers requests. */
import { execFileSync } from 'node:child_process'
import { listen } from 'fdwire'
import { memory } from '../accounts.mjs'

const { type, folder, connections, nofile } = JSON.parse(process.argv[2])
execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${nofile}`])
process.on('disconnect', () => process.exit())

const protocols = {
  stream: { protocol: 'length_prefixed', encoding: 'json' },
  seqpacket: { protocol: 'jsoncomm', type: 'seqpacket' },
}
const options = { ...protocols[type], maxConnections: connections }
const listener = await listen(`${folder}/socket`, options)
listener.on('connection', channel => {
  channel.on('message', value => channel.send(value))
  // Half of the clients are killed.
  channel.on('error', () => {})
})

process.on('message', () => process.send({ connections: listener.connections, ...memory() }))
process.send({ address: listener.address, ...memory() })
