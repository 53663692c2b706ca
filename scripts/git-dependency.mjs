// Runs as `prepare`: npm runs it when it installs fdwire from a git repository, and also for
// `npm install` in a clone and for `npm pack`, in which it does nothing.
//
// npm has cloned the repository, installed its packages, and packs the folder afterwards. This
// builds the addon for the present system and lets that package contain it.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

process.chdir(new URL('..', import.meta.url).pathname)

// npm sets this variable in the folder of a git dependency. Building it runs npm once more.
if (process.env._PACOTE_NO_PREPARE_ && !process.env.FDWIRE_GIT_DEPENDENCY) {
  const env = { ...process.env, FDWIRE_GIT_DEPENDENCY: '1' }
  const build = ['scripts/prepare.mjs']
  const { status } = spawnSync(process.execPath, build, { env, stdio: ['ignore', 2, 2] })
  if (status !== 0) {
    console.error(
      'fdwire cannot be built from its git repository here: that needs stable Rust and a C linker. ' +
        'Install the published package instead: npm install fdwire',
    )
    process.exit(1)
  }
  const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
  manifest.files = manifest.files.filter(pattern => !pattern.startsWith('!'))
  delete manifest.optionalDependencies
  writeFileSync('package.json', JSON.stringify(manifest, null, 2))
}
