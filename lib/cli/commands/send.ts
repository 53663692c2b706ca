import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Channel } from '../../channel/channel.js'
import { connectTo } from '../channels.js'
import { EXIT, type Run } from '../command.js'
import { FdsToSend } from '../descriptors.js'
import { printErrors, printMessage } from '../messages.js'
import { type Printer, Progress } from '../printer.js'
import { parseValue } from '../values.js'

/** `fdwire send`: sends one message, or each line of stdin as one. */
export const run: Run = async (args, printer) => {
  const [address = '', value] = args.positionals
  const [channel, { form }] = await connectTo(address, args)
  printErrors(printer, channel)
  const files = await FdsToSend.open(args)
  const { fds } = files
  try {
    if (value === undefined) {
      await sendLines(channel, line => parseValue(line, form), fds)
    } else if (args.flag('request')) {
      const timeout = args.integer('timeout') ?? 10_000
      const reply = await channel.request(parseValue(value, form) as never, { fds, timeout })
      print(printer, reply)
    } else {
      channel.send(parseValue(value, form) as never, { fds })
    }
  } finally {
    files.close()
  }
  await channel.flush()
  await channel.close()
  return EXIT.ok
}

function print(printer: Printer, reply: Parameters<typeof printMessage>[1]): void {
  printMessage(printer, reply, 'reply')
  reply.fds.close()
}

/** Sends each line of stdin. The descriptors go with the first one. */
async function sendLines(
  channel: Channel,
  parse: (line: string) => unknown,
  fds: FdsToSend['fds'],
): Promise<void> {
  const progress = new Progress('messages')
  let next = fds
  for await (const line of createInterface({ input: process.stdin })) {
    if (!channel.send(parse(line) as never, { fds: next })) await once(channel, 'drain')
    next = []
    progress.add()
  }
  progress.end()
}
