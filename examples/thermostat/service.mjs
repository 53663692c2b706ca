// The services of the device, and the checks of their data.
import {
  defineService,
  SID_EXECUTE_REQUEST,
  SID_EXECUTE_RESPONSE,
  SID_READ_REQUEST,
  SID_READ_RESPONSE,
  SID_WRITE_REQUEST,
  SID_WRITE_RESPONSE,
} from 'fdwire/socket_protocol'

const read = defineService(SID_READ_REQUEST, SID_READ_RESPONSE, 'read data')
const write = defineService(SID_WRITE_REQUEST, SID_WRITE_RESPONSE, 'write data')
const execute = defineService(SID_EXECUTE_REQUEST, SID_EXECUTE_RESPONSE, 'execute')

const isTarget = data => typeof data === 'number' && Number.isFinite(data)
const isEntry = data => typeof data?.id === 'number' && isTarget(data.target)

/** The temperature (°C). */
export const temperature = read.datum(1, 'temperature')
/** All entries of the schedule, in the order in which they were added. */
export const schedule = read.datum(2, 'schedule')
/** The target temperature (°C). The device refuses one that is out of range. */
export const target = write.datum(1, 'target', { isRequest: isTarget })
/** Adds an entry to the schedule: { id, target }. If the id exists already, nothing changes. */
export const entry = write.datum(2, 'entry', { isRequest: isEntry })
/** Heats until the target is reached. Returns the number of steps. */
export const heat = execute.datum(1, 'heat')
