// Writes THIRD_PARTY_NOTICES.md: the licences of the crates that the addon contains. Fails if a
// crate has no permissive licence. `npm run check` fails if the file is stale.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { TARGETS } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)

/** The licences under which fdwire distributes crates, the preferred one first. */
const LICENCES = ['MIT', 'ISC']
/** The files in which crates state these licences. */
const FILES = /^(?:LICENSE[-_]MIT(?:\.md|\.txt)?|LICENSE(?:\.md|\.txt)?|COPYING)$/i

/** The terms of a crate that does not contain them. */
const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the
following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO
EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN
AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE
OR OTHER DEALINGS IN THE SOFTWARE.`

const STANDARD_LIBRARY = {
  name: "Rust's standard library",
  version: '',
  licence: 'MIT',
  text: `Copyright (c) The Rust Project Contributors\n\n${MIT}`,
}

const crates = new Map()
for (const { rust } of TARGETS) {
  for (const crate of linkedCrates(rust)) crates.set(`${crate.name} ${crate.version}`, crate)
}
const sorted = [...crates.keys()].sort().map(key => notice(crates.get(key)))
writeFileSync('THIRD_PARTY_NOTICES.md', render([...sorted, STANDARD_LIBRARY]))

/** Returns the packages of other authors that the addon of a target contains. */
function linkedCrates(rust) {
  const args = ['metadata', '--format-version=1', '--locked', `--filter-platform=${rust}`]
  const options = { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] }
  const metadata = JSON.parse(execFileSync('cargo', args, options))
  const packages = new Map(metadata.packages.map(one => [one.id, one]))
  const nodes = new Map(metadata.resolve.nodes.map(node => [node.id, node]))
  const isMacro = id => packages.get(id).targets.some(({ kind }) => kind.includes('proc-macro'))
  const linked = new Set()
  const visit = id => {
    // A macro runs in the compiler and leaves nothing of itself in the addon.
    if (linked.has(id) || isMacro(id)) return
    linked.add(id)
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg)
    }
  }
  visit(metadata.packages.find(({ name }) => name === 'fdwire-node').id)
  return [...linked].map(id => packages.get(id)).filter(({ source }) => source !== null)
}

function notice({ name, version, license, authors, manifest_path }) {
  const licence = LICENCES.find(one => license.split(/ OR |\//).includes(one))
  if (licence === undefined) throw new Error(`${name} ${version} has the licence ${license}`)
  const folder = dirname(manifest_path)
  const text = readdirSync(folder)
    .filter(file => FILES.test(file))
    .sort((a, b) => Number(/mit/i.test(b)) - Number(/mit/i.test(a)))
    .map(file => readFileSync(join(folder, file), 'utf8').trim())
    .find(content => /permission (?:is hereby granted|to use)/i.test(content))
  const holders = authors.length > 0 ? authors.join(', ') : `The authors of ${name}`
  return { name, version, licence, text: text ?? `Copyright (c) ${holders}\n\n${MIT}` }
}

function render(notices) {
  const about =
    '# Third-party notices\n\nThe native addon of fdwire contains code of these projects, under these ' +
    'licences. `scripts/packages/notices.mjs` writes this file.\n'
  // Many crates have the same text, which is printed once.
  const groups = groupByText(notices)
  const sections = [...groups].map(([text, members]) => {
    const list = members.map(({ name, version, licence }) => {
      return `- ${name}${version === '' ? '' : ` ${version}`} (${licence})`
    })
    return `${list.join('\n')}\n\n\`\`\`text\n${text.replaceAll('\r', '')}\n\`\`\`\n`
  })
  return [about, ...sections].join('\n')
}

function groupByText(notices) {
  const groups = new Map()
  for (const notice of notices)
    groups.set(notice.text, [...(groups.get(notice.text) ?? []), notice])
  return groups
}
