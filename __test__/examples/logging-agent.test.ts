/** examples/logging-agent, with logger of util-linux and with Python's standard library. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { destroyChannelsAfterEach, RAW_DGRAM, track } from '../support/channels.js'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const file = useExample('logging-agent')
const run = promisify(execFile)

/** An interval that no test reaches (s): the agent reports at its end. */
const NEVER = '100000'

async function startAgent() {
  const folder = temporaryDirectory()
  const agent = await AttackedServer.start([file('agent'), folder, NEVER], /"listening"/)
  return { agent, log: join(folder, 'log'), statsd: join(folder, 'statsd') }
}

/** Sends datagrams with Python's standard library. */
const SEND = `
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in sys.argv[2:]: client.sendto(text.encode(), sys.argv[1])`

describe('the logging-agent example', () => {
  it('prints the entries of logger, and which process has sent them', async () => {
    const { agent, log } = await startAgent()
    const args = ['--socket', log, '--priority', 'daemon.warning', '--tag', 'app', 'é 😀']
    const logger = run('logger', args)
    const entry = JSON.parse(await agent.line(/"text"/))
    await logger
    const { pid } = logger.child
    expect(entry).toMatchObject({ facility: 3, severity: 4, pid, uid: process.getuid?.() })
    expect(entry.text).toMatch(/^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d app: é 😀$/)
  })

  it('adds counters, keeps the last gauge, counts malformed datagrams, and reports at its end', async () => {
    const { agent, log, statsd } = await startAgent()
    const metrics = ['hits:1|c', 'hits:2|c\nload:0.5|g', 'load:0.25|g', 'time:12|ms|#tag:a']
    await run('python3', ['-c', SEND, statsd, ...metrics, 'no metric', '__proto__:1|c'])
    await run('python3', ['-c', SEND, log, 'no priority', '<13>app: last'])
    await agent.line(/app: last/)
    const ended = once(agent.child, 'exit')
    agent.child.stdin?.end()
    agent.child.kill('SIGTERM')
    expect(JSON.parse(await agent.line(/"metrics"/))).toEqual({
      // JSON.parse makes it an own property, as the agent has it.
      metrics: JSON.parse('{"hits":3,"load":0.25,"time":12,"__proto__":1}'),
      malformed: 2,
      dropped: 0,
    })
    expect(await ended).toEqual([0, null])
  })

  it('keeps no more than 1,000 metrics', async () => {
    const { agent, statsd } = await startAgent()
    const client = track(await connect(statsd, RAW_DGRAM))
    for (let i = 0; i < 1_500; i++) {
      if (!client.send(`name${i}:1|c`)) await once(client, 'drain')
    }
    await client.close()
    agent.child.kill('SIGTERM')
    const { metrics, dropped } = JSON.parse(await agent.line(/"metrics"/))
    expect([Object.keys(metrics).length, dropped]).toEqual([1_000, 500])
  })

  it.each(['log', 'statsd'] as const)(
    'survives every attack at its socket %s, with flat descriptors and memory',
    async name => {
      const { agent, ...paths } = await startAgent()
      const target = { path: paths[name], protocol: 'raw', type: 'dgram' } as const
      await expectUnharmed(agent, target, async () => {
        const client = track(await connect(paths.log, RAW_DGRAM))
        client.send('<13>app: hello')
        await client.close()
        await agent.line(/app: hello/)
      })
    },
    180_000,
  )
})
