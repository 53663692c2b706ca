// Connects the npm package dbus-native to a bus over fdwire: its own sockets pass no descriptors.
import { createClient } from 'dbus-native'
import { connect, toDuplex } from 'fdwire'

/** Connects to a bus: `unix:path=/run/user/1000/bus` or `unix:abstract=…`. */
export async function connectBus(address = process.env.DBUS_SESSION_BUS_ADDRESS ?? '') {
  const [, kind, name] = /^unix:(path|abstract)=([^,;]+)/.exec(address) ?? []
  if (name === undefined) throw new Error(`Unknown address of a bus: '${address}'`)
  const path = kind === 'abstract' ? `\0${name}` : name
  const channel = await connect(path, { protocol: 'raw', maxFds: 16 })
  const bus = createClient({ stream: toDuplex(channel) })
  // A bus drops descriptors that arrive while it authenticates the client.
  await bus.getId()
  return bus
}
