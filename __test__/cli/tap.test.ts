import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { busConfig } from '../support/dbus.js'
import { newShell, type Shell } from './shell.js'

const ENDS = fileURLToPath(new URL('../support/children/tap-ends.mjs', import.meta.url))
const BUS = fileURLToPath(new URL('../../examples/dbus/bus.mjs', import.meta.url))

/** Runs sender and receiver of `tap-ends.mjs`, and the tap between them if `args` are given. */
async function passDescriptors(shell: Shell, count: number, options: object, args: string) {
  const end = (role: string, path: string) =>
    `'${process.execPath}' '${ENDS}' ${role} ${path} ${count} '${JSON.stringify(options)}'`
  const receiver = shell.start(`exec ${end('receive', 'target.sock')}`)
  await once(receiver.stdout as NodeJS.ReadableStream, 'data')
  const tap = `fdwire tap tap.sock target.sock --once ${args} >tap.log &
    until [ -S tap.sock ]; do :; done; ${end('send', 'tap.sock')}`
  const { stdout, stderr } = await shell.run(tap)
  expect(stderr).toBe('')
  return { sent: JSON.parse(stdout), log: readFileSync(join(shell.folder, 'tap.log'), 'utf8') }
}

describe('fdwire tap', () => {
  it.each([
    ['seqpacket', { protocol: 'jsoncomm', type: 'seqpacket' }, '--quiet'],
    ['a stream of messages', { protocol: 'length_prefixed' }, '--protocol length_prefixed --quiet'],
    ['seqpacket, printing', { protocol: 'jsoncomm', type: 'seqpacket' }, ''],
  ])('loses no descriptor of 253 per message at full speed: %s', async (_name, options, args) => {
    const count = 400
    const { sent, log } = await passDescriptors(newShell(), count, options, args)
    expect(sent.received).toBe(count)
    expect(log).toContain(`${count * 253} descriptors`)
    if (args === '') expect(log).toContain('and 245 more descriptors')
  })

  it('forwards D-Bus between a client and dbus-daemon, and shows the calls', async () => {
    const shell = newShell()
    writeFileSync(join(shell.folder, 'bus.conf'), busConfig(join(shell.folder, 'bus')))
    const program = `
      import { Bus } from '${BUS}'
      const bus = await Bus.connect('tap.sock')
      console.log(bus.name)
      await bus.close()`
    writeFileSync(join(shell.folder, 'client.mjs'), program)
    const { stdout, stderr } = await shell.run(`
      dbus-daemon --config-file=bus.conf --nofork 2>daemon.log & daemon=$!
      fdwire tap tap.sock bus --wait 9000 --type stream --once >tap.log & tap=$!
      until [ -S tap.sock ]; do :; done
      '${process.execPath}' client.mjs
      wait $tap; kill $daemon`)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^:1\.\d+\n$/)
    const log = readFileSync(join(shell.folder, 'tap.log'), 'utf8')
    expect(log).toMatch(/> \d+ B \.AUTH EXTERNAL/)
    expect(log).toMatch(/< \d+ B "OK [\da-f]{32}/)
    expect(log).toContain('Hello')
  })

  it('reports a target at which nothing listens, and closes the connection of the client', async () => {
    const { stdout } = await newShell().run(`
      fdwire tap tap.sock missing.sock --type stream --once &
      fdwire connect tap.sock --wait 9000 </dev/null`)
    expect(stdout).toContain('connect ENOENT missing.sock')
    expect(stdout).toContain('0 messages (0 B) to the target')
  })

  it('forwards datagrams of several senders, and their replies', async () => {
    const shell = newShell()
    const { stdout } = await shell.run(`
      fdwire bind target.sock --exec 'echo got {}' >/dev/null & target=$!
      fdwire tap tap.sock target.sock --wait 9000 --type dgram >tap.log & tap=$!
      fdwire send tap.sock 1 --request --wait 9000
      fdwire send tap.sock 2 --request
      kill $tap $target`)
    expect(stdout).toBe('< "got 1"\n< "got 2"\n')
    expect(readFileSync(join(shell.folder, 'tap.log'), 'utf8')).toMatch(
      /#1 @.*\n#1 .*\n#1 .*\n#2 @/,
    )
    expect(existsSync(join(shell.folder, 'tap.sock'))).toBe(false)
  })
})

describe('fdwire replay', () => {
  it('compares the replies with the recorded ones', async () => {
    const { stdout, code } = await newShell().run(`
      fdwire listen a.sock --exec 'echo got {}' --once >/dev/null &
      fdwire tap t.sock a.sock --type stream --wait 9000 --once --record file -q >/dev/null & tap=$!
      printf 'one\\ntwo\\n' | fdwire connect t.sock --wait 9000 >/dev/null; wait $tap
      fdwire listen a.sock --exec 'echo got {}' --once >/dev/null & until [ -S a.sock ]; do :; done
      fdwire replay file --check --json
      fdwire listen a.sock --exec 'echo other {}' --once >/dev/null & until [ -S a.sock ]; do :; done
      fdwire replay file --check --json --timeout 500`)
    const [same, other] = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(same).toMatchObject({ isEqual: true, received: 16, recorded: 16 })
    expect(other).toMatchObject({ isEqual: false, recorded: 16 })
    expect(code).toBe(1)
  })
})
