/** Weston, a Wayland compositor, maps the memory that a client passes to it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, connect, createMemfd, type FdSource } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track, withFd } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory } from '../support/processes.js'
import { whenReady } from '../support/programs.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

/** The object that exists from the start. The client creates the others, with consecutive numbers. */
const DISPLAY = 1

const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer)

/** A string: its length with the NUL that ends it, the bytes, and zeroes up to a multiple of 4. */
function string(text: string): Buffer {
  const bytes = Buffer.alloc((text.length + 4) & ~3)
  bytes.write(text)
  return Buffer.concat([u32(text.length + 1), bytes])
}

interface WaylandEvent {
  object: number
  opcode: number
  body: Buffer
}

/** A connection to a Wayland compositor on this machine, whose numbers are little-endian. */
class Wayland {
  readonly #channel: Channel<Buffer>
  #bytes = Buffer.alloc(0)
  #last = DISPLAY

  constructor(channel: Channel<Buffer>) {
    this.#channel = channel
  }

  /** Returns the number of an object that the next request must create. */
  newObject(): number {
    return ++this.#last
  }

  /** Sends a request. */
  send(object: number, opcode: number, body: Buffer, fds: Iterable<FdSource> = []): void {
    const header = u32(object, ((8 + body.length) << 16) | opcode)
    this.#channel.send(Buffer.concat([header, body]), { fds })
  }

  /** Returns the next event. */
  async receive(): Promise<WaylandEvent> {
    const complete = () =>
      this.#bytes.length >= 8 && this.#bytes.length >= this.#bytes.readUInt16LE(6)
    while (!complete()) {
      const message = await this.#channel.receive()
      if (message === null) throw new Error('The compositor has closed the connection')
      this.#bytes = Buffer.concat([this.#bytes, message.value])
    }
    const event = this.#bytes.subarray(0, this.#bytes.readUInt16LE(6))
    this.#bytes = this.#bytes.subarray(event.length)
    return { object: event.readUInt32LE(), opcode: event.readUInt16LE(4), body: event.subarray(8) }
  }

  /** Returns the events until the compositor has executed all requests, or reports an error. */
  async sync(): Promise<WaylandEvent[]> {
    const callback = this.newObject()
    this.send(DISPLAY, 0, u32(callback))
    const events: WaylandEvent[] = []
    for (;;) {
      const event = await this.receive()
      if (event.object === callback) return events
      // wl_display.delete_id says that a number may be used again, which this client does not do.
      if (event.object === DISPLAY && event.opcode === 1) continue
      events.push(event)
      if (event.object === DISPLAY) return events
    }
  }
}

/** Starts Weston without a screen, and returns a client and its object `wl_shm`. */
async function startWeston() {
  const folder = temporaryDirectory()
  const weston = new Peer(
    'weston',
    [
      '--backend=headless-backend.so',
      '--shell=kiosk-shell.so',
      '--no-config',
      '--socket=wayland',
      `--log=${join(folder, 'log')}`,
    ],
    { env: { ...process.env, XDG_RUNTIME_DIR: folder } },
  )
  const open = () => connect(join(folder, 'wayland'), { protocol: 'raw', maxFds: 28 })
  const client = new Wayland(track(await whenReady(weston, open)))
  const registry = client.newObject()
  client.send(DISPLAY, 1, u32(registry))
  const globals = (await client.sync()).filter(({ object }) => object === registry)
  const nameOf = (body: Buffer) => body.toString('latin1', 8, 8 + body.readUInt32LE(4) - 1)
  const names = globals.map(({ body }) => nameOf(body))
  expect(names).toContain('wl_compositor')
  const name = globals[names.indexOf('wl_shm')]?.body.readUInt32LE() as number
  const shm = client.newObject()
  client.send(registry, 0, Buffer.concat([u32(name), string('wl_shm'), u32(1, shm)]))
  return { weston, client, shm }
}

describe('Weston', () => {
  it('announces the formats of pixels, and maps a memfd that arrives with create_pool', async () => {
    const { weston, client, shm } = await startWeston()
    const formats = (await client.sync()).filter(({ object }) => object === shm)
    // Each compositor supports ARGB8888 (0) and XRGB8888 (1).
    expect(formats.map(({ body }) => body.readUInt32LE())).toEqual(expect.arrayContaining([0, 1]))

    const pixels = createMemfd(64 * 64 * 4, { name: 'pixels' })
    const pool = client.newObject()
    client.send(shm, 0, u32(pool, 64 * 64 * 4), pixels)
    pixels.close()
    expect(await client.sync()).toEqual([])
    const maps = () => readFileSync(`/proc/${weston.child.pid}/maps`, 'utf8')
    expect(maps()).toContain('/memfd:pixels')
    // wl_shm_pool.destroy
    client.send(pool, 1, Buffer.alloc(0))
    await client.sync()
    expect(maps()).not.toContain('/memfd:pixels')
  })

  it('reports a descriptor that it cannot map as an error of the pool', async () => {
    const { client, shm } = await startWeston()
    await client.sync()
    const body = u32(client.newObject(), 4_096)
    await withFd(fd => client.send(shm, 0, body, [fd]), '/')
    const [error] = await client.sync()
    expect([error?.object, error?.opcode, error?.body.readUInt32LE()]).toEqual([DISPLAY, 0, shm])
    // wl_shm.error.invalid_fd
    expect(error?.body.readUInt32LE(4)).toBe(2)
  })
})
