/** The examples of the stream protocols: their output, their exit codes and their cleanup. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { useExample } from '../support/examples.js'

const chat = useExample('stockings-chat')
const echo = useExample('msg-echo')

/** Runs an example until it exits and returns its exit code and output. */
async function run(file: string, args: string[] = [], env = {}) {
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await ended
  return { code, errors, lines: output.split('\n').slice(0, -1) }
}

describe('the stockings-chat example', () => {
  it('exchanges names and lines between two processes, which then exit', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fdwire-test-'))
    try {
      const { code, errors, lines } = await run(chat('main'), [], {
        TMPDIR: directory,
      })
      expect([code, errors]).toEqual([0, ''])
      // The order is defined only among the lines of one process.
      expect(lines.filter(line => !/^Grace (says|hears)/.test(line))).toEqual([
        'Ada says: Is anybody there?',
        'Ada hears Grace: I am.',
        'Ada says: What is the answer?',
        'Ada hears Grace: 42, and not a bit more.',
        'Ada says: Goodbye',
        'Ada hears Grace: Goodbye, Ada.',
        'Grace has closed the connection.',
      ])
      expect(lines.filter(line => /^Grace (says|hears)/.test(line))).toEqual([
        'Grace hears Ada: Is anybody there?',
        'Grace says: I am.',
        'Grace hears Ada: What is the answer?',
        'Grace says: 42, and not a bit more.',
        'Grace hears Ada: Goodbye',
        'Grace says: Goodbye, Ada.',
      ])
      expect(readdirSync(directory)).toEqual([])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

describe('the msg-echo example', () => {
  it('echoes the messages of its clients and exits on SIGTERM', async () => {
    const server = spawn(process.execPath, [echo('server')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const ended = once(server, 'close')
      const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]()
      const port = /^Listening on 127\.0\.0\.1:(\d+)$/.exec(
        (await lines.next()).value,
      )?.[1] as string
      const messages = ['hello', '', 'naïve 😀', 'x'.repeat(50_000)]
      for (let i = 0; i < 2; i++) {
        const client = await run(echo('client'), [port, ...messages])
        expect(client).toEqual({
          code: 0,
          errors: '',
          lines: messages.map(message => `${message} → ${message}`),
        })
        expect((await lines.next()).value).toMatch(/^Client connected: 127\.0\.0\.1:\d+$/)
        expect((await lines.next()).value).toMatch(/^127\.0\.0\.1:\d+ has ended$/)
      }
      server.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    } finally {
      server.kill('SIGKILL')
    }
  })
})
