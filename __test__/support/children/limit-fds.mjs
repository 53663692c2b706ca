import { execFileSync } from 'node:child_process'

/**
 * Sets the RLIMIT_NOFILE of this process. Node opens dozens of files at once while it imports, so a low
 * limit from the start could make some of the imports fail.
 */
export function limitFds(limit) {
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${limit}:`])
}
