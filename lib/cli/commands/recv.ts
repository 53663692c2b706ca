import { spawn } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Channel } from '../../channel/channel.js'
import type { FdSet } from '../../fds/fdset.js'
import { clearTimeout, setTimeout } from '../../util/timers.js'
import { parseAddress } from '../address.js'
import type { Arguments } from '../arguments.js'
import { bindAt, connectTo, listenAt, planChannel } from '../channels.js'
import { EXIT, type Run } from '../command.js'
import { printErrors, printMessage, type Received } from '../messages.js'
import { type Printer, Progress } from '../printer.js'
import { valueAsText } from '../values.js'

/** `fdwire recv`: prints messages, and uses their descriptors as the options say. */
export const run: Run = async (args, printer) => {
  const [address = ''] = args.positionals
  const count = args.integer('count') ?? Number.POSITIVE_INFINITY
  const timeout = args.integer('timeout') ?? 0
  // On a terminal the messages themselves show the progress.
  const progress = process.stdout.isTTY ? undefined : new Progress('messages')
  let received = 0
  for await (const message of messages(address, args, printer, timeout)) {
    if (message === null) return EXIT.timeout
    try {
      await use(message, args, printer, ++received)
      progress?.add()
    } finally {
      message.fds.close()
    }
    if (received >= count) break
  }
  progress?.end()
  return received >= count || count === Number.POSITIVE_INFINITY ? EXIT.ok : EXIT.failed
}

/** Returns the messages at an address. null ends them: none arrived within `timeout` (ms, 0: off). */
async function* messages(
  address: string,
  args: Arguments,
  printer: Printer,
  timeout: number,
): AsyncGenerator<Received | null> {
  const arrived: Received[] = []
  let isOver = false
  let isLate = false
  let wake = () => {}
  const open = (channel: Channel, connection?: number) => {
    printErrors(printer, channel, connection)
    channel.on('message', (value, fds, from, credentials) => {
      arrived.push({ value, fds, from, credentials, connection })
      wake()
    })
    channel.once('end', () => channel.close())
    channel.on('error', error => printer.remark(`fdwire: recv: ${error.message}`))
  }
  const end = () => {
    isOver = true
    wake()
  }
  const closeAll = await openAt(address, args, open, end)
  try {
    for (;;) {
      const message = arrived.shift()
      if (message !== undefined) {
        yield message
        continue
      }
      if (isOver) return
      if (isLate) {
        yield null
        return
      }
      const expire = () => {
        isLate = true
        wake()
      }
      const timer = timeout > 0 ? setTimeout(expire, timeout) : undefined
      await new Promise<void>(resolve => {
        wake = resolve
      })
      clearTimeout(timer)
    }
  } finally {
    for (const { fds } of arrived) fds.close()
    await closeAll()
  }
}

/** Opens what `--connect` and `--type` say. Returns the function that closes it. */
async function openAt(
  address: string,
  args: Arguments,
  open: (channel: Channel, connection?: number) => void,
  end: () => void,
): Promise<() => Promise<void>> {
  if (args.flag('connect')) {
    const [channel] = await connectTo(address, args)
    open(channel)
    channel.once('close', end)
    return () => channel.close()
  }
  if (planChannel(args, ['dgram', 'stream'], parseAddress(address)).type === 'dgram') {
    const [channel] = await bindAt(address, args)
    open(channel)
    return () => channel.close()
  }
  const [listener] = await listenAt(address, args)
  const channels = new Set<Channel>()
  let connections = 0
  listener.on('connection', channel => {
    channels.add(channel)
    channel.once('close', () => channels.delete(channel))
    open(channel, ++connections)
  })
  return async () => {
    await listener.close()
    for (const channel of channels) channel.destroy()
  }
}

async function use(
  message: Received,
  args: Arguments,
  printer: Printer,
  number: number,
): Promise<void> {
  const { fds } = message
  const folder = args.text('save')
  const command = args.text('exec')
  // With --cat, stdout has the contents and nothing else.
  if (!args.flag('cat')) printMessage(printer, message)
  if (command !== undefined) return execute(command, message)
  if (folder !== undefined) await save(fds, folder, number, printer)
  if (args.flag('cat')) await cat(fds)
}

async function cat(fds: FdSet): Promise<void> {
  for (let index = 0; index < fds.length; index++) {
    for await (const chunk of fds.toReadStream(index)) process.stdout.write(chunk)
  }
}

/** Writes what the descriptors hold to DIR/<message>-<index>. */
async function save(fds: FdSet, folder: string, message: number, printer: Printer): Promise<void> {
  mkdirSync(folder, { recursive: true })
  for (let index = 0; index < fds.length; index++) {
    const path = join(folder, `${message}-${index}`)
    await pipeline(fds.toReadStream(index), createWriteStream(path))
    printer.print({ event: 'saved', path }, `  saved ${path}`)
  }
}

/** Runs a shell command that inherits the descriptors as 3, 4 and so on. */
function execute(command: string, { value, fds }: Received): Promise<void> {
  const env = {
    ...process.env,
    FDWIRE_VALUE: valueAsText(value),
    FDWIRE_FDS: String(fds.length),
  }
  const child = spawn('sh', ['-c', command], {
    stdio: ['inherit', 'inherit', 'inherit', ...fds],
    env,
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve())
  })
}
