// Checks that a tag (`v1.2.3`) may be released: it is the version of the package, and the changelog
// has a dated section for it with at least one entry.
import { readFileSync } from 'node:fs'
import { mainPackage } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)

const [tag] = process.argv.slice(2)
const { version } = mainPackage()
const changelog = readFileSync('CHANGELOG.md', 'utf8')
const section = changelog.split(/^## /m).find(text => text.startsWith(`[${version}] `)) ?? ''
const [heading = ''] = section.split('\n')

const problems = []
if (tag !== `v${version}`)
  problems.push(`The tag is ${tag}, and package.json has version ${version}`)
if (!/^\S+ - \d{4}-\d\d-\d\d$/.test(heading)) {
  problems.push(`CHANGELOG.md needs a heading '## [${version}] - YYYY-MM-DD', not '## ${heading}'`)
}
if (!/^- /m.test(section)) problems.push(`CHANGELOG.md has no entry for ${version}`)

for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exit(1)
console.log(`${tag} may be released.`)
