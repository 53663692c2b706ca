// The device: node device.mjs PATH SECRET STATE
//
// What it has acknowledged stands in STATE, a file, before it says so; so that nothing of it is lost,
// whenever this process is killed.
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import {
  ProtocolServer,
  PureJsonProtocol,
  Refusal,
  STATUS_OPERATION_NOT_PERMITTED,
} from 'fdwire/socket_protocol'
import { entry, heat, schedule, target, temperature } from './service.mjs'

const [path, secret, file] = process.argv.slice(2)
const state = existsSync(file)
  ? JSON.parse(readFileSync(file, 'utf8'))
  : { temperature: 17, target: 17, schedule: [] }

/** Keeps the state: either the whole of it is there, or the one before. */
function keep() {
  const fd = openSync(`${file}.new`, 'w')
  writeSync(fd, JSON.stringify(state))
  fsyncSync(fd)
  closeSync(fd)
  renameSync(`${file}.new`, file)
}

await ProtocolServer.listen(path, transport => {
  const panel = new PureJsonProtocol(transport, { secret, channelName: 'thermostat' })
  panel.serve(temperature, () => state.temperature)
  panel.serve(schedule, () => state.schedule)
  panel.serve(target, wanted => {
    if (wanted < 5 || wanted > 30) throw new Refusal(STATUS_OPERATION_NOT_PERMITTED, 'from 5 to 30')
    const was = state.target
    state.target = wanted
    keep()
    return { was }
  })
  panel.serve(entry, one => {
    if (!state.schedule.some(({ id }) => id === one.id)) state.schedule.push(one)
    keep()
    return { entries: state.schedule.length }
  })
  panel.serve(heat, async () => {
    let steps = 0
    for (; state.temperature !== state.target; steps++) {
      state.temperature += Math.sign(state.target - state.temperature)
      await new Promise(resolve => setImmediate(resolve))
    }
    keep()
    return steps
  })
  return panel
})
console.log('ready')
