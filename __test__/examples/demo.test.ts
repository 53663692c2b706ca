import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect } from 'fdwire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { useExample } from '../support/examples.js'

const file = useExample('demo')

/** The demo's temporary directory, and an environment variable that marks its processes. */
let directory: string
let mark: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fdwire-test-'))
  mark = `FDWIRE_DEMO_TEST=${randomUUID()}`
})

afterEach(() => {
  for (const pid of processes()) process.kill(pid, 'SIGKILL')
  rmSync(directory, { recursive: true })
})

describe('the demo', () => {
  it('prints its results, exits with code 0, and leaves no process or file behind', async () => {
    const { child, output, errors } = start()
    const [code] = await once(child, 'exit')
    const printedText = await output
    expect(await errors).toBe('')
    expect(code, printedText).toBe(0)
    for (const kind of ['file', 'directory', 'memfd', 'pipe', 'tcp-listener', 'unix-dgram']) {
      expect(printedText).toContain(`received a descriptor. The kernel says it is a ${kind}.`)
    }
    expect(printedText).toContain('It contains: The path of this file was removed')
    expect(printedText).toContain('It contains: apple, pear, plum\n')
    expect(printedText).toContain('It contains: A Python program created this file')
    expect(printedText).toContain('Read from it: what the Python program wrote')
    expect(printedText).toMatch(/Connected to port \d+ and received: "Hello from the client/)
    expect(printedText).toMatch(/[\d,]+ messages, all in order: [\d,]+ per second\./)
    expect(printedText).toMatch(
      /[\d,]+ messages with one descriptor each, all in order: [\d,]+ per second/,
    )
    expect(printedText).toMatch(/Both processes have exited, and their directory is removed.\n$/)
    await expectNothingLeft()
  })

  it('leaves no process or file behind when only its first process gets SIGINT', async () => {
    const { child, output } = start()
    await printed(child, 'Read from it')
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([130, null])
    expect(await output).toContain('Interrupted')
    await expectNothingLeft()
  })

  it('leaves no process or file behind when all its processes get SIGINT, as by Ctrl-C', async () => {
    for (const moment of ['Starting', 'Python program', 'Connected', 'Requested a socket']) {
      const { child, output } = start({ detached: true })
      await printed(child, moment)
      process.kill(-(child.pid as number), 'SIGINT')
      expect(await once(child, 'exit'), moment).toEqual([130, null])
      expect(await output).toContain('Interrupted')
      await expectNothingLeft()
    }
  })

  it('leaves no process behind when its first process is killed', async () => {
    const { child, output } = start()
    await printed(child, 'Connected')
    child.kill('SIGKILL')
    await output // ends when every process that holds the pipe has exited
    await expect.poll(processes, { timeout: 5_000 }).toEqual([])
  })
})

describe('the server of the demo', () => {
  it('survives every attack, with flat descriptors and memory', async () => {
    const ready = /^server {2}Received a memfd and a pipe/
    const stdio = ['pipe', 'pipe', 'pipe', 'ipc'] as const
    const options = { stdio: [...stdio] }
    const server = await AttackedServer.start([file('server'), directory], ready, options)
    const path = join(directory, 'demo.sock')
    await expectUnharmed(server, { path, protocol: 'jsoncomm', type: 'dgram' }, async () => {
      const client = await connect(path, { protocol: 'jsoncomm' })
      for (const kind of ['file', 'memfd']) {
        const { value, fds } = await client.request({ open: kind }, { timeout: 20_000 })
        expect([value, fds.kind(0)]).toEqual([{ opened: kind }, kind])
        fds.close()
      }
      const unknown = await client.request({ open: 'constructor' }, { timeout: 20_000 })
      expect(unknown.value).toEqual({ error: 'Unknown request' })
      await client.close()
    })
  }, 180_000)
})

function start(options: { detached?: boolean } = {}) {
  const [name, value] = mark.split('=') as [string, string]
  const child = spawn(process.execPath, [file('main')], {
    ...options,
    env: { ...process.env, TMPDIR: directory, [name]: value },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return { child, output: text(child.stdout), errors: text(child.stderr) }
}

/** Waits until the demo has printed `text`. */
async function printed(child: ChildProcess, text: string): Promise<void> {
  let output = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', chunk => {
      output += chunk
      if (output.includes(text)) resolve()
    })
    child.stdout?.on('end', () => reject(new Error(`The demo did not print '${text}': ${output}`)))
  })
}

async function expectNothingLeft(): Promise<void> {
  expect(readdirSync(directory)).toEqual([])
  // A child of the demo may still be exiting when the demo itself has exited.
  await expect.poll(processes, { timeout: 5_000 }).toEqual([])
}

/** Returns the pids of the demo's running processes. */
function processes(): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)
      } catch {
        return false // it has just exited, or belongs to another user
      }
    })
    .map(Number)
}
