import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { newShell, type Output } from './shell.js'

/** Returns the events that commands have printed with --json. */
const events = ({ stdout }: Output): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))

describe('fdwire send', () => {
  it('sends descriptors in the order of its options, of each kind', async () => {
    const shell = newShell()
    writeFileSync(join(shell.folder, 'file'), 'content')
    const output = await shell.run(`fdwire recv a.sock -n 1 --json &
      fdwire send a.sock '{"n":1}' --wait 9000 --pipe 'echo x' --open file --listen-tcp 0 --fd 3 3<.`)
    const [{ value, fds }] = events(output) as [{ value: unknown; fds: { kind: string }[] }]
    expect(value).toEqual({ n: 1 })
    expect(fds.map(({ kind }) => kind)).toEqual(['pipe', 'file', 'tcp-listener', 'directory'])
  })

  it('sends each line of stdin, and nothing is lost', async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => String(index))
    const shell = newShell()
    const output = await shell.run(
      `fdwire recv a.sock -n ${lines.length} --json &
       printf '%s\\n' {0..4999} | fdwire send a.sock --wait 9000`,
    )
    expect(events(output).map(({ value }) => String(value))).toEqual(lines)
  })

  it('names the descriptor that is not open', async () => {
    const output = await newShell().run(`fdwire recv a.sock --timeout 3000 >/dev/null &
      fdwire send a.sock x --wait 9000 --fd 99`)
    expect(output.code).toBe(1)
    expect(output.stderr).toMatch(/EBADF.*3<file/)
  })

  it.each([
    [
      'hexadecimal bytes',
      '00ff10 --hex -p raw -t seqpacket',
      '-p raw -t seqpacket',
      { hex: '00ff10' },
    ],
    [
      'text',
      "'not json' -p length_prefixed -e text",
      '-p length_prefixed -e text -t stream',
      'not json',
    ],
    ['bytes', "'a text' -p msg_channel", '-p msg_channel -t stream', { text: 'a text' }],
    ['JSON records', "'[1,2]' -t seqpacket", '-t seqpacket', [1, 2]],
  ])('sends %s', async (_name, send, receive, expected) => {
    const output = await newShell().run(
      `fdwire recv a.sock -n 1 --json ${receive} & fdwire send a.sock --wait 9000 ${send}`,
    )
    expect(events(output)[0]?.value).toEqual(expected)
  })

  it('sends to an abstract name and over TCP', async () => {
    const shell = newShell()
    const name = `@fdwire-cli-${process.pid}`
    const abstract = await shell.run(
      `fdwire recv ${name} -n 1 --json & fdwire send ${name} 1 --wait 9000`,
    )
    expect(events(abstract)[0]?.value).toBe(1)
    const listener = shell.start('fdwire listen tcp:127.0.0.1:0 --json --once')
    const [line] = await once(listener.stdout as NodeJS.ReadableStream, 'data')
    const { address } = JSON.parse(line)
    const tcp = await shell.run(`fdwire send ${address} hello`)
    expect(tcp).toEqual({ stdout: '', stderr: '', code: 0 })
  })
})

describe('fdwire recv', () => {
  it('saves what each descriptor holds', async () => {
    const shell = newShell()
    writeFileSync(join(shell.folder, 'one'), 'first')
    await shell.run(`fdwire recv a.sock -n 1 --save out &
      fdwire send a.sock 1 --wait 9000 --open one --pipe 'echo second'`)
    expect(readFileSync(join(shell.folder, 'out/1-0'), 'utf8')).toBe('first')
    expect(readFileSync(join(shell.folder, 'out/1-1'), 'utf8')).toBe('second\n')
  })

  it('gives the message and its descriptors to a command', async () => {
    const shell = newShell()
    writeFileSync(join(shell.folder, 'file'), 'content')
    const script = 'echo $FDWIRE_VALUE $FDWIRE_FDS; cat <&3'
    const { stdout } = await shell.run(`fdwire recv a.sock -n 1 --exec '${script}' --json &
      fdwire send a.sock '"a value"' --wait 9000 --open file`)
    expect(stdout.split('\n').slice(1).join('\n')).toBe('a value 1\ncontent')
  })
})

describe.each(['listen', 'bind', 'recv'])('fdwire %s', command => {
  it.each(['SIGINT', 'SIGTERM'] as const)('leaves no socket behind after %s', async signal => {
    const shell = newShell()
    const child = shell.start(`exec fdwire ${command} a.sock`)
    const probe = await shell.run('fdwire send a.sock 1 --wait 9000')
    expect(probe.code).toBe(0)
    expect(existsSync(join(shell.folder, 'a.sock'))).toBe(true)
    child.kill(signal)
    const [code] = await once(child, 'close')
    expect(code).toBe(signal === 'SIGINT' ? 130 : 143)
    expect(existsSync(join(shell.folder, 'a.sock'))).toBe(false)
  })
})

describe('fdwire listen', () => {
  it('sends what is typed to every connection, and prints what arrives from each', async () => {
    const shell = newShell()
    const server = shell.start('exec fdwire listen a.sock --json')
    const printed: string[] = []
    server.stdout?.on('data', chunk => printed.push(String(chunk)))
    const client = shell.start('exec fdwire connect a.sock --wait 9000')
    client.stdin?.write('from the client\n')
    await expect.poll(() => printed.join(''), { timeout: 10_000 }).toContain('"from the client"')
    server.stdin?.write('from the server\n')
    let received = ''
    client.stdout?.on('data', chunk => {
      received += chunk
    })
    await expect.poll(() => received, { timeout: 10_000 }).toContain('< "from the server"')
    client.stdin?.end()
    await once(client, 'close')
    await expect.poll(() => printed.join(''), { timeout: 10_000 }).toContain('"ended"')
  })

  it('passes a message to --exec as one argument, which the shell does not interpret', async () => {
    const shell = newShell()
    const { stdout } = await shell.run(`fdwire listen a.sock --once --exec 'echo {}' >/dev/null &
      fdwire send a.sock '$(touch hacked); "x"' --request --wait 9000 --json`)
    expect(JSON.parse(stdout).value).toBe('$(touch hacked); "x"')
    expect(existsSync(join(shell.folder, 'hacked'))).toBe(false)
  })
})

describe('fdwire listen --exec', () => {
  it.each([
    ['does not wait for its answer', 'hello'],
    ['sends what cannot be an argument of a command', '"\\u0000"'],
    ['sends more than fits into the arguments of a command', 'x'.repeat(3_000_000)],
  ])('serves the next client after one that %s', async (_, message) => {
    const shell = newShell()
    writeFileSync(join(shell.folder, 'message'), `${message}\n`)
    const server = shell.start("exec fdwire listen a.sock --exec 'echo got {}' 2>&1")
    const printed: string[] = []
    server.stdout?.on('data', chunk => printed.push(String(chunk)))
    await shell.run('fdwire send a.sock --wait 9000 <message')
    await expect.poll(() => printed.join(''), { timeout: 20_000 }).toMatch(/#1 ended|listen: /)
    const { stdout } = await shell.run('fdwire send a.sock again --request --timeout 20000 --json')
    expect(JSON.parse(stdout).value).toBe('got again')
  })
})

describe('fdwire ls', () => {
  it('shows the type, the state and the process of a socket', async () => {
    const output = await newShell().run(`fdwire bind a.sock >/dev/null & pid=$!
      fdwire send a.sock 1 --wait 9000; fdwire ls a.sock --json; echo "[$pid]"; kill $pid`)
    const [socket, [pid]] = events(output) as unknown as [Record<string, never>, [number]]
    expect(socket).toMatchObject({ type: 'dgram', state: 'bound', name: 'a.sock' })
    expect(socket.processes).toEqual([{ pid, command: expect.any(String) }])
  })
})
