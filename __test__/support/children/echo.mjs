// Answers each line with the same line, at the path argv[2].
import { listen } from 'fdwire'

const listener = await listen(process.argv[2], { protocol: 'lines' })
listener.on('connection', channel => {
  channel.on('error', () => {})
  channel.on('message', value => channel.send(value))
})
console.log('{}')
