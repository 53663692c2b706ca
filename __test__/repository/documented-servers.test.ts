/** The servers of the documents, as processes, under clients that mean no good. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import type { Target } from '../support/hostile-clients.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()

const ROOT = testPath('..')
const read = (page: string) => readFileSync(join(ROOT, page), 'utf8')

interface Documented {
  /** The page and the line of the program. */
  where: string
  /** The program up to its client. */
  code: string
  target: Omit<Target, 'path'>
  file: string
}

/** Returns the programs of a page that serve at a path, without their clients. */
function serversOf(page: string): Documented[] {
  const text = read(page)
  const setup = /```js setup\n(.*?)```/s.exec(text)?.[1] ?? ''
  const imports = setup
    .split('\n')
    .filter(line => line.startsWith('import '))
    .join('\n')
  return [...text.matchAll(/```js(?: server|( part))?\n(.*?)```/gs)].flatMap(match => {
    const [, part, program = ''] = match
    const made = /await (?:listen|bind)\('([\w.]+)', (\{[^}]*\}|options)/.exec(program)
    const isServer =
      program.includes('.serve(') || /\.on\('connection'.*^const client/ms.test(program)
    if (made === null || !isServer) return []
    const declared = /const options = (\{[^}]*\})/.exec(program)?.[1] ?? ''
    const [, file = '', given = ''] = made
    const options = given === 'options' ? declared : given
    const protocol = /protocol: '(\w+)'/.exec(options)?.[1] as Target['protocol']
    const type =
      /type: '(\w+)'/.exec(options)?.[1] ?? (protocol === 'jsoncomm' ? 'dgram' : 'stream')
    const server = program.split(/^const client = /m)[0] as string
    const line = text.slice(0, match.index).split('\n').length
    return [
      {
        where: `${page}:${line}`,
        code: part === undefined ? server : `${imports}\n${server}`,
        target: { protocol, type: type as Target['type'], options: delimiterOf(options) },
        file,
      },
    ]
  })
}

/** Returns the delimiter among options, which is an escape sequence. */
function delimiterOf(options: string): { delimiter?: string } {
  const [, sequence] = /delimiter: '(\\\w)'/.exec(options) ?? []
  return sequence === undefined ? {} : { delimiter: JSON.parse(`"${sequence}"`) }
}

const PAGES = ['', 'api/', 'guides/', 'migration/'].flatMap(folder =>
  readdirSync(join(ROOT, 'docs', folder)).map(name => `docs/${folder}${name}`),
)
const SERVERS = ['README.md', ...PAGES].filter(page => page.endsWith('.md')).flatMap(serversOf)

/** Starts a documented server as a process of its own, in a directory of its own. */
async function start({ code, file }: Documented) {
  const directory = temporaryDirectory()
  // Static imports are resolved before the program changes its directory. What it would print of each message
  // would wait in its memory.
  const program = `
    process.chdir(${JSON.stringify(directory)})
    console.log = () => {}
    ${code}
    process.stdout.write('ready\\n')`
  const args = ['--input-type=module', '--eval', program]
  const server = await AttackedServer.start(args, /^ready$/, { cwd: ROOT })
  return { server, path: join(directory, file) }
}

/** A server that greets its clients. */
const WELCOME = "send('welcome')"

/** Matches a server that replies. */
const REPLIES = /\.serve\((?!value => console\.log)/

/** A correct request for each server, and the reply. */
const GOOD: Record<string, [request: unknown, reply: unknown]> = {
  'app.world': [
    { type: 'greet', data: { name: 'Ada' } },
    { type: 'greeting', data: { text: 'hello Ada' } },
  ],
  'files.sock': [{ name: '/dev/null' }, expect.anything()],
  'app.sock': ['hello', expect.anything()],
  'control.sock': ['socket', 'yours'],
  'hash.sock': [{ algorithm: 'sha256' }, { error: 'One file, please' }],
}

/** Checks a server that only prints what it gets, or greets its clients: it must still accept them. */
async function isAccepted(code: string, { protocol, type }: Target, path: string): Promise<void> {
  const client = await connect(path, {
    protocol: protocol === 'raw' ? 'raw' : 'lines',
    type: type as 'stream',
  })
  if (code.includes(WELCOME)) {
    expect((await client.receive({ timeout: 20_000 }))?.value).toBe('welcome')
  } else {
    client.send('hello')
    await client.flush()
  }
  await client.close()
}

async function isServed({ target, file, code }: Documented, path: string): Promise<void> {
  if (!REPLIES.test(code) || code.includes(WELCOME)) return isAccepted(code, target as Target, path)
  const [request, reply] = code.includes('a + b')
    ? [{ a: 1, b: 2 }, { sum: 3 }]
    : (GOOD[file] as [unknown, unknown])
  const encoding = code.includes("encoding: 'json'") ? 'json' : 'text'
  const client =
    target.protocol === 'jsoncomm'
      ? await connect(path, { protocol: 'jsoncomm', type: target.type as 'dgram' })
      : await connect(path, { protocol: target.protocol, encoding, ...target.options } as never)
  const answer = await client.request(request as never, { timeout: 20_000 })
  expect(answer.value).toEqual(reply)
  answer.fds.close()
  await client.close()
}

it('shows a server and a client of at most 15 lines each on the first screen of the README', () => {
  const [first, second] = [...read('README.md').matchAll(/```js ?(\w*)\n(.*?)```/gs)]
  expect([first?.[1], second?.[1]]).toEqual(['server', 'client'])
  for (const code of [first?.[2] ?? '', second?.[2] ?? '']) {
    expect(
      code
        .trim()
        .split('\n')
        .filter(line => !line.startsWith('// →')).length,
    ).toBeLessThan(16)
  }
  expect(first?.[2]).toMatch(/\.serve\(.*\.has\(.*onError/s)
  expect(second?.[2]).toContain('timeout: ')
})

it('finds the servers of the README and of the pages', () => {
  expect(SERVERS.filter(({ where }) => where.startsWith('README.md')).length).toBe(2)
  expect(SERVERS.length).toBeGreaterThanOrEqual(18)
})

describe.each(SERVERS)('the server at $where', documented => {
  it('lives and serves others during every attack, with flat descriptors and memory', async () => {
    const { server, path } = await start(documented)
    await expectUnharmed(server, { ...documented.target, path }, () => isServed(documented, path))
  }, 180_000)
})
