// Checks the documents: runs their programs, and checks that their links and the files that they
// name exist.
//
// A code block marked `js` is a whole program. On a page with a block `js setup`, each block `js
// part` runs after the code of that block. A block `js client` runs beside the process of the block
// `js server` before it, in the same directory, once that has printed something. If a program has
// comments `// → …`, its output must be their texts, in order. It must exit with 0, unless it is a
// server, and write nothing to stderr.
//
// With paths of documents as arguments, only their programs run.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { parseCommandLine } from './command-line.mjs'
import { listFiles } from './files.mjs'
import { anchorOf } from './markdown.mjs'

process.chdir(new URL('..', import.meta.url).pathname)

const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'bench/README.md',
  ...listFiles(['docs/', 'examples/'])
    .map(normalize)
    .filter(file => file.endsWith('.md')),
]
/** Matches the files that a document names in backticks. */
const NAMED = /`((?:lib|crates|scripts|docs|bench|examples|vectors|__test__)\/[\w./-]+)`/g
/** What a program may be. */
const KINDS = ['js', 'js setup', 'js part', 'js server', 'js client']
/** Time limit for a program (ms). */
const TIMEOUT = 30_000

const pages = new Map(PAGES.map(page => [page, readPage(page)]))
const problems = []
const { names: chosen } = parseCommandLine(import.meta.url, {}, PAGES)
const programs = [...pages]
  .filter(([page]) => chosen.length === 0 || chosen.includes(page))
  .flatMap(([page, { fences }]) => programsOf(page, fences))

for (const [page, { prose }] of pages) {
  checkLinks(page, prose)
  checkNames(page, prose)
}
// The programs run inside the repository, so that `fdwire` is this package.
const folder = `target/docs-${process.pid}`
mkdirSync(folder, { recursive: true })
const waiting = [...programs]
await Promise.all(Array.from({ length: availableParallelism() }, runSome))
rmSync(folder, { recursive: true })

for (const problem of problems) console.error(problem)
if (problems.length > 0) {
  console.error(`\nFound ${problems.length} problems in the documents.`)
  process.exit(1)
}
console.log(
  `Checked ${pages.size} documents: ${programs.length} programs run as documented, and no link is broken.`,
)

/** Returns the code blocks of a page, its text without them, and the anchors of its headings. */
function readPage(page) {
  const fences = []
  const prose = []
  const anchors = new Set()
  let fence
  for (const [index, line] of readFileSync(page, 'utf8').split('\n').entries()) {
    if (fence !== undefined) {
      if (line.startsWith('```')) fence = undefined
      else fence.code.push(line)
    } else if (line.startsWith('```')) {
      fence = { info: line.slice(3).trim(), line: index + 1, code: [] }
      fences.push(fence)
    } else {
      prose.push({ line: index + 1, text: line })
      const heading = /^#+ (.*)/.exec(line)
      if (heading) anchors.add(anchorOf(heading[1]))
    }
  }
  return { fences, prose, anchors }
}

function programsOf(page, fences) {
  const setup = fences.find(({ info }) => info === 'js setup')?.code.join('\n') ?? ''
  let server
  return fences.flatMap(({ info, line, code }) => {
    if (!info.startsWith('js') || info === 'json') return []
    const place = `${page}:${line}`
    const isAlone =
      (info === 'js part' && setup === '') || (info === 'js client' && server === undefined)
    if (!KINDS.includes(info) || isAlone) {
      problems.push(
        `${place}: unknown code block '${info}': use js, js setup and then js part, or js server and then js client`,
      )
      return []
    }
    const own = code.join('\n')
    const source = info === 'js part' ? `${setup}\n{\n${own}\n}\n` : own
    // A part may leave its channels open, so it ends its process.
    const end = info === 'js setup' || info === 'js part' ? '\nprocess.exit()\n' : ''
    const program = { place, source: hoistImports(source) + end, expected: printed(own) }
    if (info === 'js server') server = program
    if (info === 'js server') return []
    return [info === 'js client' ? { ...program, server } : program]
  })
}

/** Moves imports to the top: a part runs in a block, where JavaScript does not allow them. */
function hoistImports(source) {
  const isImport = line => line.startsWith('import ')
  const lines = source.split('\n')
  return [...new Set(lines.filter(isImport)), ...lines.filter(line => !isImport(line))].join('\n')
}

/** Returns the lines of the documented output. */
function printed(code) {
  return [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text)
}

async function runSome() {
  for (let program = waiting.shift(); program !== undefined; program = waiting.shift()) {
    await run(program)
  }
}

/** Runs a program, beside its server if it has one. */
async function run({ server, ...program }) {
  const cwd = mkdtempSync(join(tmpdir(), 'fdwire-docs-'))
  if (server === undefined) {
    report(program, await start(program, cwd).ended)
  } else {
    const { child, ended } = start(server, cwd)
    await Promise.race([once(child.stdout, 'data'), ended])
    report(program, await start(program, cwd).ended)
    const isRunning = child.kill()
    const output = await ended
    report(server, { ...output, error: isRunning ? null : (output.error ?? { code: 0 }) })
  }
  rmSync(cwd, { recursive: true })
}

function start({ place, source }, cwd) {
  const file = join(process.cwd(), folder, `${place.replaceAll(/[/:.]/g, '-')}.mjs`)
  writeFileSync(file, source)
  let child
  const ended = new Promise(resolve => {
    child = execFile(process.execPath, [file], { cwd, timeout: TIMEOUT }, (error, stdout, stderr) =>
      resolve({ error, stdout, stderr }),
    )
  })
  return { child, ended }
}

function report({ place, expected }, { error, stdout, stderr }) {
  if (error) problems.push(`${place}: ${reasonOf(error)}\n${stderr}`)
  else if (stderr !== '') problems.push(`${place}: the program writes to stderr:\n${stderr}`)
  const lines = stdout.split('\n').slice(0, -1)
  if (!error && expected.length > 0 && lines.join('\n') !== expected.join('\n')) {
    problems.push(`${place}: expected the output\n${expected.join('\n')}\nnot\n${stdout}`)
  }
}

function reasonOf({ killed, code }) {
  if (killed) return `the program did not exit within ${TIMEOUT} ms`
  return `the program failed with exit code ${code}`
}

function checkLinks(page, prose) {
  for (const { line, text } of prose) {
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path, anchor] = target.split('#')
      const file = path === '' ? page : normalize(join(dirname(page), path))
      if (!existsSync(file))
        problems.push(`${page}:${line}: broken link: file ${file} does not exist`)
      else if (anchor && pages.has(file) && !pages.get(file).anchors.has(anchor)) {
        problems.push(`${page}:${line}: broken link: ${file} has no heading #${anchor}`)
      }
    }
  }
}

/** Checks that the files and npm scripts that the text names exist. */
function checkNames(page, prose) {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  for (const { line, text } of prose) {
    for (const [, file] of text.matchAll(NAMED)) {
      if (!existsSync(file)) problems.push(`${page}:${line}: file ${file} does not exist`)
    }
    for (const [, script] of text.matchAll(/npm run ([\w:-]+)/g)) {
      if (!(script in scripts))
        problems.push(`${page}:${line}: package.json has no script ${script}`)
    }
  }
}
