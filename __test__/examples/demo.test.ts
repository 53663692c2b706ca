import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const DEMO = new URL('../../examples/demo/main.mjs', import.meta.url).pathname

/** The demo's temporary directory, and what marks its processes. */
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
  it('tells its story, ends by itself with exit 0, and leaves nothing behind', async () => {
    const { child, output, errors } = start()
    const [code] = await once(child, 'exit')
    const story = await output
    expect(await errors).toBe('')
    expect(code, story).toBe(0)
    for (const kind of ['file', 'directory', 'memfd', 'pipe', 'tcp-listener', 'unix-dgram']) {
      expect(story).toContain(`got a descriptor. The kernel says it is a ${kind}.`)
    }
    expect(story).toContain('It says: Dear reader, I had a name')
    expect(story).toContain('In it are apple, pear, plum.')
    expect(story).toContain('It says: I live in memory only.')
    expect(story).toContain('Out of it comes: whatever Python poured in')
    expect(story).toMatch(/called port \d+, and was answered: "Hello from the client/)
    expect(story).toMatch(/[\d,]+ messages, all in order: [\d,]+ a second\./)
    expect(story).toMatch(/[\d,]+ messages with a descriptor each, all in order: [\d,]+ a second/)
    expect(story).toMatch(
      /Both processes have ended by themselves, and their directory is removed.\n$/,
    )
    await expectNothingLeft()
  })

  it('leaves nothing behind when only its first process is told to end', async () => {
    const { child, output } = start()
    await said(child, 'Out of it comes')
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([130, null])
    expect(await output).toContain('Interrupted')
    await expectNothingLeft()
  })

  it('leaves nothing behind after ctrl-C, which a terminal sends to all of its processes', async () => {
    for (const moment of ['Two processes', 'Python program', 'I am connected', 'line']) {
      const { child, output } = start({ detached: true })
      await said(child, moment)
      process.kill(-(child.pid as number), 'SIGINT')
      expect(await once(child, 'exit'), moment).toEqual([130, null])
      expect(await output).toContain('Interrupted')
      await expectNothingLeft()
    }
  })

  it('leaves no process behind when its first one is killed', async () => {
    const { child, output } = start()
    await said(child, 'I am connected')
    child.kill('SIGKILL')
    await output // ends when the last process that writes to it has ended
    await expect.poll(processes, { timeout: 5_000 }).toEqual([])
  })
})

function start(options: { detached?: boolean } = {}) {
  const [name, value] = mark.split('=') as [string, string]
  const child = spawn(process.execPath, [DEMO], {
    ...options,
    env: { ...process.env, TMPDIR: directory, [name]: value },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return { child, output: text(child.stdout), errors: text(child.stderr) }
}

/** Waits until the demo has said something. */
async function said(child: ChildProcess, what: string): Promise<void> {
  let heard = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', chunk => {
      heard += chunk
      if (heard.includes(what)) resolve()
    })
    child.stdout?.on('end', () => reject(new Error(`The demo never said '${what}': ${heard}`)))
  })
}

async function expectNothingLeft(): Promise<void> {
  expect(readdirSync(directory)).toEqual([])
  // The helper is its parent's child: it may still be on its way out when the demo has ended.
  await expect.poll(processes, { timeout: 5_000 }).toEqual([])
}

/** The demo's processes that are alive. */
function processes(): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)
      } catch {
        return false // it has just ended, or is not ours to see
      }
    })
    .map(Number)
}
