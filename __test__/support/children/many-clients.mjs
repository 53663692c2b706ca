/** Connects many clients, reports that, sends a line over each after a pause, and creates a file then. */
import { writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { connect } from 'fdwire'

const { address, options, clients, pause, file } = JSON.parse(process.argv[2])
const channels = await Promise.all(Array.from({ length: clients }, () => connect(address, options)))
console.log(JSON.stringify('connected'))
await setTimeout(pause)
for (const channel of channels) channel.send('a line')
await Promise.all(channels.map(channel => channel.flush()))
writeFileSync(file, '')
