/** Syslog over Unix datagrams, with logger of util-linux and with Python's standard library. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { bind, type Channel, connect, type Message } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

const FACILITIES = { user: 1, daemon: 3, local3: 19 }
const SEVERITIES = { error: 3, warning: 4, notice: 5, info: 6 }

interface Entry {
  priority: number
  text: string
}

/** The datagrams that syslog(3) and its like send: a priority, and the rest. */
const ENTRIES = {
  encode: ({ priority, text }: Entry) => `<${priority}>${text}`,
  decode: (bytes: Buffer): Entry => {
    const [, priority, text] = /^<(\d{1,3})>(.*)$/s.exec(bytes.toString()) ?? []
    if (text === undefined) throw new Error('A syslog message begins with its priority, as <13>')
    return { priority: Number(priority), text }
  },
}

const OPTIONS = { protocol: 'raw', type: 'dgram', encoding: ENTRIES } as const
const socketPath = () => join(temporaryDirectory(), 'log')
const python = (role: 'handler' | 'server', path: string) =>
  new Peer('python3', ['-B', testPath('support/peers/syslog.py'), role, path])

/** Opens a channel in place of a syslog daemon. */
async function collect(options: { credentials?: boolean } = {}) {
  const path = socketPath()
  return { path, channel: track(await bind(path, { ...OPTIONS, ...options })) }
}

const nextEntry = async (channel: Channel<Entry>) =>
  ((await channel.receive()) as Message<Entry>).value

/** Runs logger with a message, or with lines on its stdin. Resolves to its process id. */
async function logger(path: string, args: string[], lines = ''): Promise<number | undefined> {
  const stdio: ['pipe', 'ignore', 'inherit'] = ['pipe', 'ignore', 'inherit']
  const child = spawn('logger', ['--socket', path, '--tag', 'app', ...args], { stdio })
  child.stdin.on('error', () => {})
  child.stdin.end(lines)
  expect(await once(child, 'close')).toEqual([0, null])
  return child.pid
}

describe('logger', () => {
  it.each([
    ['user', 'notice'],
    ['local3', 'warning'],
    ['daemon', 'info'],
  ] as const)(
    'sends one datagram with priority, time, tag and text (%s.%s)',
    async (facility, severity) => {
      const { path, channel } = await collect()
      await logger(path, ['--priority', `${facility}.${severity}`, 'é 😀'])
      const { value, from } = (await channel.receive()) as Message<Entry>
      expect(value.priority).toBe(FACILITIES[facility] * 8 + SEVERITIES[severity])
      expect(value.text).toMatch(/^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d app: é 😀$/)
      expect(from).toBe(null)
    },
  )

  it('sends the structured data of RFC 5424', async () => {
    const { path, channel } = await collect()
    const data = ['--sd-id', 'job@32473', '--sd-param', 'name="a b"', 'done']
    await logger(path, ['--rfc5424=notime,notq,nohost', '--msgid', 'END', '--id=77', ...data])
    const { text } = await nextEntry(channel)
    expect(text).toMatch(/^1 - - app 77 END \[job@32473 name="a b"\] done$/)
  })

  it('sends a datagram for each line, more than the kernel queues, in their order', async () => {
    const { path, channel } = await collect()
    const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`)
    const logged = logger(path, [], lines.join('\n'))
    const received: string[] = []
    while (received.length < lines.length) {
      const { text } = await nextEntry(channel)
      received.push(text.slice('Nov 30 00:00:00 app: '.length))
    }
    await logged
    expect(received).toEqual(lines)
  })

  it('is the process that credentials name', async () => {
    const { path, channel } = await collect({ credentials: true })
    const pid = await logger(path, ['hello'])
    const message = await channel.receive()
    expect(message?.credentials).toEqual({ pid, uid: process.getuid?.(), gid: process.getgid?.() })
  })
})

describe("Python's SysLogHandler", () => {
  it('sends one datagram with priority and text, which a NUL ends', async () => {
    const { path, channel } = await collect()
    const peer = python('handler', path)
    for (const [level, facility] of [
      ['ERROR', 'daemon'],
      ['WARNING', 'local3'],
      ['INFO', 'user'],
    ] as const) {
      await peer.request({ level, facility, message: `é ${level}\nline 2` })
      const severity = SEVERITIES[level.toLowerCase() as 'error' | 'warning' | 'info']
      expect(await nextEntry(channel)).toEqual({
        priority: FACILITIES[facility] * 8 + severity,
        text: `é ${level}\nline 2\0`,
      })
    }
  })
})

describe("a server of Python's socketserver", () => {
  it('receives the entries that a channel sends, each as one datagram', async () => {
    const path = socketPath()
    const server = python('server', path)
    await server.receive()
    const channel = track(await connect(path, OPTIONS))
    const entries = Array.from({ length: 50 }, (_, i) => ({ priority: i, text: `app: é ${i}` }))
    for (const entry of entries) channel.send(entry)
    for (const { priority, text } of entries) {
      expect(await server.receive()).toEqual({ data: `<${priority}>${text}` })
    }
  })
})

describe('a datagram without a priority', () => {
  it('is malformed, and the next entry arrives', async () => {
    const { path, channel } = await collect()
    const malformed = once(channel, 'malformed')
    const sender = track(await connect(path, { protocol: 'raw', type: 'dgram' }))
    sender.send('no priority')
    sender.send('<13>app: next')
    expect(await nextEntry(channel)).toEqual({ priority: 13, text: 'app: next' })
    const [error] = await malformed
    expect(error).toEqual(errorWithCode('UNDECODABLE'))
  })
})
