// Saves the state of a virtual machine in a file that QEMU could not open: node save.mts SOCKET FILE
import { open } from 'node:fs/promises'
import { Qmp } from './qmp.mts'

const [socket = 'qmp.sock', path = 'machine.state'] = process.argv.slice(2)
const qmp = await Qmp.connect(socket)
const ended = new Promise<string>(resolve => {
  qmp.channel.on('message', ({ event, data }) => {
    const { status = '' } = (data ?? {}) as { status?: string }
    console.log('Event', event, status)
    if (status === 'completed' || status === 'failed') resolve(status)
  })
  qmp.channel.once('close', () => resolve('cut off: QEMU has closed the connection'))
})

await qmp.execute('migrate-set-capabilities', {
  capabilities: [{ capability: 'events', state: true }],
})
await qmp.execute('stop')
const file = await open(path, 'w', 0o600)
await qmp.execute('getfd', { fdname: 'state' }, file)
await qmp.execute('migrate', { uri: 'fd:state' })
const status = await ended
console.log(`Saving has ${status}: ${(await file.stat()).size} bytes`)
process.exitCode = status === 'completed' ? 0 : 1
await file.close()
qmp.channel.destroy()
