// An agent for logs and metrics: node agent.mts FOLDER [INTERVAL]
//
// It binds FOLDER/log (syslog) and FOLDER/statsd, and prints a line of JSON for each entry, and the metrics
// of each interval (s, 10).
import { bind } from 'fdwire'

/** How many metrics the agent keeps: their names are the senders' choice. */
const MAX_METRICS = 1_000

/** One datagram of syslog: a priority, and the rest. */
const entries = {
  encode: ({ priority, text }: { priority: number; text: string }) => `<${priority}>${text}`,
  decode(bytes: Buffer) {
    const [, priority, text = ''] = /^<(\d{1,3})>(.*)$/s.exec(bytes.toString()) ?? []
    if (priority === undefined) throw new Error('An entry begins with its priority, as <13>')
    return { priority: Number(priority), text: text.replace(/[\0\n]+$/, '') }
  },
}

/** One datagram of statsd: a metric in each line, `name:value|type`. */
const metrics = {
  encode: (lines: { name: string; value: number; type: string }[]) =>
    lines.map(({ name, value, type }) => `${name}:${value}|${type}`).join('\n'),
  decode: (bytes: Buffer) =>
    bytes
      .toString()
      .trim()
      .split('\n')
      .map(line => {
        const [, name, value, type] =
          /^([^:|]{1,200}):(-?[\d.]+)\|(c|g|ms)(?:\||$)/.exec(line) ?? []
        if (name === undefined) throw new Error('Expected name:value|type')
        return { name, value: Number(value), type }
      }),
}

const [folder = '.', interval = '10'] = process.argv.slice(2)
const sums = new Map<string, number>()
let dropped = 0

// Every program of the system may write here, hence the mode. The kernel says which process it was.
const datagrams = { protocol: 'raw', type: 'dgram', mode: 0o666 } as const
const log = await bind(`${folder}/log`, { ...datagrams, encoding: entries, credentials: true })
log.on('message', ({ priority, text }, _fds, _from, credentials) => {
  const { pid, uid } = credentials ?? {}
  console.log(JSON.stringify({ facility: priority >> 3, severity: priority & 7, pid, uid, text }))
})

const statsd = await bind(`${folder}/statsd`, { ...datagrams, encoding: metrics })
statsd.on('message', lines => {
  for (const { name, value, type } of lines) {
    if (!sums.has(name) && sums.size === MAX_METRICS) dropped++
    else sums.set(name, type === 'c' ? (sums.get(name) ?? 0) + value : value)
  }
})

// What cannot be decoded is counted: `stats.malformed`.
function report() {
  const malformed = log.stats.malformed + statsd.stats.malformed
  console.log(JSON.stringify({ metrics: Object.fromEntries(sums), malformed, dropped }))
  sums.clear()
}
const timer = setInterval(report, Number(interval) * 1_000)
process.once('SIGTERM', async () => {
  clearInterval(timer)
  await Promise.all([log.close(), statsd.close()])
  report()
})
console.log(JSON.stringify({ listening: [log.localAddress, statsd.localAddress] }))
