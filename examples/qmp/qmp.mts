// QEMU's machine protocol (QMP): commands, some with a descriptor, and the events between their replies.
import { type Channel, connect, type FdSource } from 'fdwire'

export interface Message {
  id?: number
  return?: unknown
  error?: { class: string; desc: string }
  event?: string
  data?: unknown
}

/** A connection to the monitor of a machine: `-qmp unix:PATH,server=on,wait=off`. */
export class Qmp {
  /** Emits `'message'` for each event. */
  readonly channel: Channel<Message, object>
  #last = 0

  private constructor(channel: Channel<Message, object>) {
    this.channel = channel
  }

  static async connect(path: string): Promise<Qmp> {
    const channel = await connect<Message, object>(path, {
      protocol: 'lines',
      encoding: 'json',
      maxFds: 1, // QEMU takes one descriptor with a command, and sends none
    })
    await channel.receive({ timeout: 5_000 }) // the greeting
    const qmp = new Qmp(channel)
    await qmp.execute('qmp_capabilities')
    return qmp
  }

  /** Executes a command. The descriptor, if there is one, is borrowed. */
  async execute(command: string, args: object = {}, fd?: FdSource): Promise<unknown> {
    const id = ++this.#last
    const { value } = await this.channel.request(
      { execute: command, arguments: args, id },
      { fds: fd === undefined ? [] : [fd], match: ({ value }) => value.id === id, timeout: 30_000 },
    )
    if (value.error) throw new Error(`${command}: ${value.error.desc}`)
    return value.return
  }
}
