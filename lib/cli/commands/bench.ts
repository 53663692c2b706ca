import { measure, PEERS } from '../bench-peers.js'
import { EXIT, type Run } from '../command.js'
import { table } from '../table.js'

/** How long the whole benchmark takes by default (s). */
const SECONDS = 10

/** `fdwire bench`: measures fdwire, node:net and child_process between two processes. */
export const run: Run = async (args, printer) => {
  const seconds = args.integer('seconds') ?? SECONDS
  const time = (seconds * 1_000) / (2 * PEERS.length)
  const results = []
  for (const { name, start } of PEERS) results.push({ name, ...(await measure(start, time)) })
  const [first] = results
  for (const result of results) printer.print(result)
  if (!printer.isJson && first !== undefined) {
    const rows = results.map(({ name, messages, roundTrip }) => [
      name,
      `${Math.round(messages).toLocaleString('en')} /s`,
      `${(messages / first.messages).toFixed(2)}`,
      `${roundTrip.toFixed(1)} µs`,
      `${(roundTrip / first.roundTrip).toFixed(2)}`,
    ])
    const head = ['', 'MESSAGES', 'RATIO', 'ROUND TRIP', 'RATIO']
    for (const line of table([head, ...rows])) printer.print({}, line)
  }
  return EXIT.ok
}
