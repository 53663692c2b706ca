// The device: node device.mjs PATH SECRET STATE
//
// It writes its state to the file STATE before it acknowledges a change, so no acknowledged change
// is lost if this process is killed.
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

/** Saves the state. If the process is killed meanwhile, the file has the old or the new state. */
function save() {
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
  panel.serve(target, degrees => {
    if (degrees < 5 || degrees > 30)
      throw new Refusal(STATUS_OPERATION_NOT_PERMITTED, 'from 5 to 30')
    const before = state.target
    state.target = degrees
    save()
    return { before }
  })
  panel.serve(entry, added => {
    if (!state.schedule.some(({ id }) => id === added.id)) state.schedule.push(added)
    save()
    return { entries: state.schedule.length }
  })
  panel.serve(heat, async () => {
    let steps = 0
    for (; state.temperature !== state.target; steps++) {
      state.temperature += Math.sign(state.target - state.temperature)
      await new Promise(resolve => setImmediate(resolve))
    }
    save()
    return steps
  })
  return panel
})
console.log('ready')
