import { ADOPTED } from './adopted.js'
import { BUFFERS } from './buffers.js'
import { CHANNEL } from './channel.js'
import { DATAGRAM } from './datagram.js'
import { DEADLINES } from './deadlines.js'
import { DESCRIPTORS } from './descriptors.js'
import { FRAMING } from './framing.js'
import { LATENCY } from './latency.js'
import { LISTENER } from './listener.js'
import { PATH } from './path.js'
import { RECONNECT } from './reconnect.js'
import { TCP } from './tcp.js'
import { TRANSPORT } from './transport.js'
import { WAIT } from './wait.js'

/** Every option, by group. */
export const OPTIONS = {
  ...TRANSPORT,
  ...FRAMING,
  ...DESCRIPTORS,
  ...CHANNEL,
  ...DEADLINES,
  ...LATENCY,
  ...DATAGRAM,
  ...PATH,
  ...WAIT,
  ...RECONNECT,
  ...TCP,
  ...BUFFERS,
  ...LISTENER,
  ...ADOPTED,
} as const

/** The name of an option. */
export type OptionName = keyof typeof OPTIONS

/** The names of all options. */
export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[]

/** Whether any function has an option of this name. */
export function isOption(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name)
}
