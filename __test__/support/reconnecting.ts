/** Servers that stop and start again, and clients that reconnect to them. */
import { once } from 'node:events'
import { type Channel, connect, type Listener, listen } from 'fdwire'
import { track } from './channels.js'
import { afterTest } from './streams.js'

/** Short delays of the option `reconnect`. */
export const FAST = { minDelay: 5, maxDelay: 20 }

/** A server that keeps its connections, and can be stopped and started again. */
export class Server {
  readonly connections: Channel[] = []
  readonly received: string[] = []
  #listener: Listener<Channel> | undefined

  constructor(
    readonly address: unknown,
    readonly options: object,
    readonly onMessage: (channel: Channel, value: string) => void = () => {},
  ) {
    afterTest(() => this.stop())
  }

  async start(): Promise<this> {
    const listener = await listen(this.address as never, this.options as never)
    this.#listener = listener as unknown as Listener<Channel>
    this.#listener.on('connection', channel => {
      this.connections.push(track(channel))
      channel.on('error', () => {})
      channel.on('message', value => {
        this.received.push(String(value))
        this.onMessage(channel, String(value))
      })
    })
    return this
  }

  async stop(): Promise<void> {
    for (const channel of this.connections.splice(0)) channel.destroy()
    await this.#listener?.close()
  }
}

/** Connects with the option and counts the events. */
export async function client(address: unknown, options: object, reconnect: object = FAST) {
  const channel = (await connect(address as never, { ...options, reconnect } as never)) as Channel<
    unknown,
    never
  >
  const events: unknown[][] = []
  for (const name of ['disconnect', 'reconnect', 'end', 'error', 'close'] as const) {
    channel.on(name, (...args: unknown[]) => events.push([name, ...args]))
  }
  return { channel: track(channel as unknown as Channel<unknown, string>), events }
}

/** Acts, and waits for the channel to lose its connection, which it may do meanwhile. */
export async function lost(channel: Channel<unknown, string>, act: () => unknown): Promise<void> {
  const event = once(channel, 'disconnect')
  await act()
  await event
}

/** Acts, and waits for the channel to reconnect, which it may do meanwhile. */
export async function reconnected(
  channel: Channel<unknown, string>,
  act: () => unknown,
): Promise<void> {
  const event = once(channel, 'reconnect')
  await act()
  await event
}
