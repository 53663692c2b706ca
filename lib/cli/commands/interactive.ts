import { formatAddress } from '../address.js'
import type { Arguments } from '../arguments.js'
import { bindAt, connectTo, listenAt } from '../channels.js'
import { EXIT } from '../command.js'
import type { Printer } from '../printer.js'
import { Session } from '../session.js'

/** `fdwire connect`: ends with the connection, or when stdin has ended and all replies came. */
export async function runConnect(args: Arguments, printer: Printer): Promise<number> {
  const [address = ''] = args.positionals
  const [channel, { form, type }] = await connectTo(address, args)
  const session = new Session(args, printer, form)
  const closed = session.add(channel)
  await Promise.race([closed, session.inputEnded])
  if (!channel.closed) await channel.flush()
  // The peer of a stream answers the rest, and then ends as well.
  if (type !== 'dgram' && !channel.closed) {
    channel.end()
    await closed
  }
  await session.close()
  return EXIT.ok
}

/** `fdwire listen`: serves until it is interrupted, or with `--once` until one connection ends. */
export async function runListen(args: Arguments, printer: Printer): Promise<number> {
  const [address = ''] = args.positionals
  const [listener, { form, protocol, type }] = await listenAt(address, args)
  const where = formatAddress(listener.address)
  const text = `listening at ${where} (${protocol}, ${type})`
  printer.print({ event: 'listening', address: where, protocol, type }, printer.style('dim', text))
  const session = new Session(args, printer, form)
  let connections = 0
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.on('connection', channel => {
      const report = (error: Error) => printer.remark(`fdwire: listen: ${error.message}`)
      const ended = session.add(channel, ++connections).catch(report)
      if (args.flag('once')) ended.then(resolve)
    })
  })
  await listener.close()
  await session.close()
  return EXIT.ok
}

/** `fdwire bind`: receives datagrams until it is interrupted. */
export async function runBind(args: Arguments, printer: Printer): Promise<number> {
  const [address = ''] = args.positionals
  const [channel, { form, protocol, type }] = await bindAt(address, args)
  const where = formatAddress(channel.localAddress)
  const text = `bound to ${where} (${protocol}, ${type})`
  printer.print({ event: 'bound', address: where, protocol, type }, printer.style('dim', text))
  await new Session(args, printer, form).add(channel)
  return EXIT.ok
}
