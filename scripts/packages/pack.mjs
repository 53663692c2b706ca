// Packs the main package and those platform packages whose addons are built: target/packages/*.tgz.
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { run } from './cross-tools.mjs'
import { mainPackage, TARGETS } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)

const OUTPUT = 'target/packages'
const ADDONS = `${OUTPUT}/addons`
const STAGE = `${OUTPUT}/stage`

for (const file of existsSync(OUTPUT) ? readdirSync(OUTPUT) : []) {
  if (file.endsWith('.tgz')) rmSync(`${OUTPUT}/${file}`)
}
rmSync(STAGE, { recursive: true, force: true })
mkdirSync(STAGE, { recursive: true })

for (const { name, file } of TARGETS) {
  if (!existsSync(`${ADDONS}/${file}`)) continue
  const folder = `${STAGE}/${name}`
  cpSync(`npm/${name}`, folder, { recursive: true })
  for (const page of ['LICENSE', 'THIRD_PARTY_NOTICES.md']) copyFileSync(page, `${folder}/${page}`)
  copyFileSync(`${ADDONS}/${file}`, `${folder}/${file}`)
  pack(folder)
}
pack('.')
console.log(`Packed version ${mainPackage().version}: ${tarballs().join(', ')}`)

function pack(folder) {
  run('npm', ['pack', `--pack-destination=${OUTPUT}`, '--loglevel=error', `./${folder}`])
}

function tarballs() {
  return readdirSync(OUTPUT).filter(file => file.endsWith('.tgz'))
}
