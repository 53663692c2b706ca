// Installs the tools in which the packed packages are tested (bundlers, TypeScript, test runners).
import { fileURLToPath } from 'node:url'
import { installLocked } from '../locked-packages.mjs'

const HERE = fileURLToPath(new URL('consumers', import.meta.url))
const HOME = fileURLToPath(new URL('../../target/consumers', import.meta.url))

/** Returns the folder of the tools. Installs them if they are missing or stale. */
export function installConsumers() {
  installLocked(HERE, HOME, ['--ignore-scripts'])
  return HOME
}
