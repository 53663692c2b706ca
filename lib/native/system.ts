import { readFileSync } from 'node:fs'

/** What decides which addon a process can load. */
export interface System {
  /** `process.platform`. */
  platform: string
  /** `process.arch`. */
  arch: string
  /** The C library that the process uses. */
  libc: 'glibc' | 'musl'
}

/** The file of glibc: `libc.so.6`, before glibc 2.34 a link to `libc-2.31.so`. */
const GLIBC = /\/libc(?:\.so\.6|-2\.\d+\.so)$/m

/** Returns the system of this process. */
export function thisSystem(): System {
  const { platform, arch } = process
  return { platform, arch, libc: platform !== 'linux' || usesGlibc() ? 'glibc' : 'musl' }
}

/**
 * Whether this process has mapped glibc.
 *
 * `process.report` also tells, but takes 7 ms and interrupts every worker.
 */
function usesGlibc(): boolean {
  try {
    return GLIBC.test(readFileSync('/proc/self/maps', 'latin1'))
  } catch {
    // Without /proc, or with --permission, which may forbid reading it.
    const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
    return header?.glibcVersionRuntime !== undefined
  }
}
