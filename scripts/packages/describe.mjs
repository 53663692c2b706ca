// Writes the files of the platform packages that are committed: npm/<target>/package.json and
// README.md. `npm run check` fails if they are stale.
import { mkdirSync, writeFileSync } from 'node:fs'
import { mainPackage, TARGETS } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)
const main = mainPackage()

for (const target of TARGETS) {
  const folder = `npm/${target.name}`
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/package.json`, `${JSON.stringify(describe(target), null, 2)}\n`)
  writeFileSync(`${folder}/README.md`, readme(target))
}

function describe(target) {
  const { version, license, homepage, bugs, repository, author, engines } = main
  return {
    name: target.package,
    version,
    description: `The native addon of fdwire for Linux on ${target.cpu} with ${target.libc}`,
    license,
    homepage,
    bugs,
    repository: { ...repository, directory: `npm/${target.name}` },
    author,
    main: target.file,
    files: [target.file, 'LICENSE', 'THIRD_PARTY_NOTICES.md'],
    engines,
    os: [target.os],
    cpu: [target.cpu],
    libc: [target.libc],
    publishConfig: { access: 'public' },
  }
}

function readme(target) {
  return `# ${target.package}

The native addon of [fdwire](${main.homepage}) for Linux on ${target.cpu} with ${target.libc}. Install
\`fdwire\`, which installs this package where it fits. \`THIRD_PARTY_NOTICES.md\` contains the licences of the
crates that the addon contains.
`
}
