/** runc passes the terminal of a container over a console socket. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type FdSet, listen, type Message } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

/** Where runc keeps the state of the container of the running test. */
let state = ''

cleanUpAfterEach()
destroyChannelsAfterEach()
afterEach(() => runc('delete', '--force', 'container'))

/** Runs a command of runc, which must succeed. */
async function runc(...args: string[]): Promise<void> {
  // The process of the container inherits what is not a terminal, so nothing is a pipe.
  const child = spawn('runc', ['--root', state, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  expect([args[0], ...(await once(child, 'exit'))]).toEqual([args[0], 0, null])
}

/** Creates a bundle whose container runs a shell script on a terminal, with the programs of this system. */
function createBundle(folder: string, script: string): void {
  mkdirSync(join(folder, 'rootfs'))
  const programs = ['/bin', '/lib', '/lib64', '/usr'].filter(path => existsSync(path))
  const bound = programs.map(path => {
    return { destination: path, type: 'bind', source: path, options: ['rbind', 'ro'] }
  })
  const config = {
    ociVersion: '1.0.2',
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['/bin/sh', '-c', script],
      env: ['PATH=/usr/bin:/bin'],
      cwd: '/',
    },
    root: { path: 'rootfs' },
    hostname: 'container',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['newinstance', 'ptmxmode=0666'],
      },
      ...bound,
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map(type => ({ type })) },
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
}

/** Returns what is written to a terminal until the last process that has it open exits. */
async function readTerminal(stream: Readable): Promise<string> {
  let output = ''
  try {
    for await (const chunk of stream) output += chunk
  } catch (error) {
    // This is how Linux ends the controlling side of a terminal.
    expect(error).toMatchObject({ code: 'EIO' })
  }
  return output
}

describe('runc', () => {
  it('passes the terminal of a container, which this process reads and writes', async () => {
    const folder = temporaryDirectory()
    state = join(folder, 'state')
    createBundle(
      folder,
      'read name; echo "hello $name, this is $(uname -n)"; test -t 0 && echo tty',
    )
    const consoles = await listen(join(folder, 'console'), { protocol: 'raw', maxFds: 1 })
    const socket = ['--console-socket', join(folder, 'console')]
    const created = runc('create', '--bundle', folder, ...socket, 'container')
    let message: Message<Buffer> | null = null
    for await (const channel of consoles) {
      message = await track(channel).receive()
      break
    }
    await Promise.all([created, consoles.close()])
    const { value, fds } = message as Message<Buffer> & { fds: FdSet }
    // The message is the name of the terminal.
    expect(`${value}`).toMatch(/^\/dev\/(ptmx|pts\/\w+)$/)
    expect([fds.length, fds.kind(0)]).toEqual([1, 'tty'])

    await runc('start', 'container')
    writeSync(fds.get(0), 'fdwire\n')
    const output = await readTerminal(fds.toReadStream(0))
    expect(output.replaceAll('\r\n', '\n')).toBe('fdwire\nhello fdwire, this is container\ntty\n')
  })
})
