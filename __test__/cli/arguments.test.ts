import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../../lib/cli/commands.js'
import { newShell } from './shell.js'

describe('fdwire', () => {
  it('lists its commands without arguments, and with --help', async () => {
    const shell = newShell()
    for (const script of ['fdwire', 'fdwire --help']) {
      const { stdout, code } = await shell.run(script)
      expect(code).toBe(0)
      for (const { name, summary } of COMMANDS)
        expect(stdout).toContain(`${name.padEnd(9)}${summary}`)
    }
  })

  it.each(COMMANDS)('describes $name with --help', async ({ name, summary, options, example }) => {
    const { stdout, code } = await newShell().run(`fdwire ${name} --help`)
    expect(code).toBe(0)
    expect(stdout).toContain(summary)
    for (const option of Object.keys(options)) expect(stdout).toContain(`--${option}`)
    for (const line of example) expect(stdout).toContain(line)
  })

  it.each([
    ['fdwire nonsense', /unknown command 'nonsense'/],
    ['fdwire send', /send needs ADDR: see fdwire send --help/],
    ['fdwire send a b c', /does not take the argument 'c'/],
    ['fdwire send a b --colour', /Unknown option '--colour'/],
    ['fdwire send a b --protocol http', /--protocol must be one of jsoncomm, .* not 'http'/],
    ['fdwire send a b --wait soon', /--wait must be a non-negative integer, not 'soon'/],
    ['fdwire recv a --protocol jsoncomm --type stream', /jsoncomm has no type stream/],
    ['fdwire send tcp:nowhere b', /'tcp:nowhere' must be tcp:HOST:PORT/],
    ['fdwire send tcp://host:80 b', /'tcp:\/\/host:80' must be tcp:HOST:PORT/],
    ['fdwire listen a --max-fds 300 </dev/null', /maxFds/],
    ['fdwire replay /etc/passwd', /is not a recording/],
  ])('refuses %s with exit code 2 and one line', async (script, message) => {
    const { stdout, stderr, code } = await newShell().run(script)
    expect({ stdout, code }).toEqual({ stdout: '', code: 2 })
    expect(stderr).toMatch(message)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  it('fails with exit code 1, one line and a remedy if nothing listens', async () => {
    const { stderr, code } = await newShell().run('fdwire send missing.sock x')
    expect(code).toBe(1)
    expect(stderr).toBe(
      'fdwire: send: connect ENOENT missing.sock: there is no such file or socket: start the ' +
        'receiver first, or give --wait MS\n',
    )
  })

  it('shows the form of a TCP address if a path looks like one', async () => {
    const { stderr, code } = await newShell().run('fdwire send localhost:80 x')
    expect(code).toBe(1)
    expect(stderr).toBe(
      'fdwire: send: connect ENOENT localhost:80: there is no such file or socket: give ' +
        'tcp:HOST:PORT for TCP\n',
    )
  })

  it('does not advise to remove a file that is not a socket', async () => {
    const { stderr, code } = await newShell().run('echo text > file; fdwire send file x')
    expect(code).toBe(1)
    expect(stderr).toBe(
      'fdwire: send: connect ECONNREFUSED file: the file at this path is not a socket\n',
    )
  })

  it('ends with exit code 3 if nothing arrives in time', async () => {
    const { code } = await newShell().run('fdwire recv a.sock --timeout 50')
    expect(code).toBe(3)
  })

  it('prints colours on a terminal, and none with NO_COLOR or without one', async () => {
    const shell = newShell()
    const onTerminal = "script -qec 'fdwire doctor' /dev/null"
    expect((await shell.run(onTerminal)).stdout).toContain('\x1b[32mok')
    expect((await shell.run(`NO_COLOR=1 ${onTerminal}`)).stdout).not.toContain('\x1b[32m')
    expect((await shell.run('fdwire doctor')).stdout).not.toContain('\x1b[')
  })
})
