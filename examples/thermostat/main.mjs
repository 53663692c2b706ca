// A thermostat and its panel, two processes with a shared secret: node main.mjs
//
//   main.mjs     the panel, which starts the device, kills it, and starts it again
//   device.mjs   the device, which serves read, write and execute requests
//   service.mjs  the services of the device, which both processes import
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PureJsonProtocol, SocketClient, StatusError } from 'fdwire/socket_protocol'
import { entry, heat, schedule, target, temperature } from './service.mjs'

const ENTRIES = 200
const directory = mkdtempSync(join(tmpdir(), 'fdwire-thermostat-'))
const path = join(directory, 'socket')
const secret = randomBytes(24).toString('hex')
const LIMIT = { timeout: 10_000 }

let device
process.on('exit', () => {
  device?.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))

await startDevice()
const panel = new PureJsonProtocol(new SocketClient(path, { minDelay: 10 }), {
  secret,
  autoAuth: true,
})

console.log(`It is ${await panel.call(temperature, null, LIMIT)} °C.`)
console.log(
  `The connection is established: ${panel.connectionEstablished()}. Its name: ${panel.channelName}.`,
)
const { before } = await panel.call(target, 21)
console.log(`The target was ${before} °C, now it is 21.`)
console.log(
  `After ${await panel.call(heat, null)} steps it is ${await panel.call(temperature, null)} °C.`,
)
try {
  await panel.call(target, 99)
} catch (error) {
  if (!(error instanceof StatusError)) throw error
  console.log(`99 °C is refused with status ${error.status}: ${error.response.getData()}.`)
}

const stranger = new PureJsonProtocol(new SocketClient(path), { secret: 'guessed', autoAuth: true })
await stranger.call(temperature, null, LIMIT).catch(error => {
  console.log(`A stranger is refused with status ${error.status}.`)
})
await stranger.close()

// The device is killed while requests are in flight. The panel repeats the requests that were not
// acknowledged. That is safe because the device adds an entry with the same id only once.
const acknowledged = new Set()
let resent = 0
const all = Array.from({ length: ENTRIES }, async (_, id) => {
  for (;;) {
    try {
      await panel.call(entry, { id, target: 15 + (id % 10) }, LIMIT)
      acknowledged.add(id)
      if (acknowledged.size === ENTRIES / 4) void killDevice()
      return
    } catch (error) {
      if (error.code !== 'ERR_FDWIRE_PEER_CLOSED') throw error
      resent++
    }
  }
})
await Promise.all(all)

const kept = await panel.call(schedule, null, LIMIT)
const lost = [...acknowledged].filter(id => !kept.some(one => one.id === id))
const twice = kept.length - new Set(kept.map(({ id }) => id)).size
console.log(`The device was killed; ${resent > 0 ? 'some' : 'no'} entries had to be sent again.`)
console.log(`${acknowledged.size} of ${ENTRIES} acknowledged, ${lost.length} lost, ${twice} twice.`)
console.log(
  `It is ${await panel.call(temperature, null)} °C still, and the new connection is authenticated.`,
)

await panel.close()
device.kill()
await once(device, 'exit')
process.exitCode = lost.length === 0 && twice === 0 ? 0 : 1

async function startDevice() {
  const script = new URL('device.mjs', import.meta.url).pathname
  device = spawn(process.execPath, [script, path, secret, join(directory, 'state.json')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(device.stdout, 'data') // the device prints a line when it is ready
}

async function killDevice() {
  device.kill('SIGKILL')
  await once(device, 'exit')
  await startDevice()
}
