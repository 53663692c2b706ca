/** The checks of `fdwire doctor`. */
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { thisSystem } from '../native/system.js'
import { VERSION } from '../native/version.js'
import { softLimit } from '../util/process-limits.js'

/** Whether fdwire works (`ok`), works with a restriction (`note`), or does not work. */
export type Verdict = 'ok' | 'note' | 'problem'

/** One fact about the system. */
export interface Check {
  name: string
  value: string
  verdict: Verdict
  /** What it means for fdwire. */
  meaning: string
  /** How to change it. */
  remedy?: string
}

/** Checks fdwire, Node and the C library. `loadError` is the error of loading the addon. */
export function programChecks(loadError: string | undefined): Check[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isNew = major > 20 || (major === 20 && minor >= 19)
  const { arch, libc } = thisSystem()
  return [
    {
      name: 'fdwire',
      value: VERSION,
      verdict: loadError === undefined ? 'ok' : 'problem',
      meaning: loadError ?? 'The native addon is loaded.',
    },
    {
      name: 'Node',
      value: process.version,
      verdict: isNew ? 'ok' : 'problem',
      meaning: 'fdwire needs 20.19 or newer.',
      ...(!isNew && { remedy: 'Install a newer Node.' }),
    },
    {
      name: 'C library',
      value: `${libc} on ${arch}`,
      verdict: 'ok',
      meaning: 'Prebuilt addons need glibc 2.28 or newer, or musl.',
    },
  ]
}

/** Features of the kernel, with the version that has them. */
const FEATURES = [
  ['memfd sealing', 3, 17, 'Messages larger than a datagram can travel in a memfd.'],
  ['peer.pidfd', 6, 5, 'channel.peer has a descriptor of the process at the other end.'],
  ['SO_PASSRIGHTS', 6, 16, 'A socket can refuse descriptors before they arrive.'],
] as const

/** Checks the version of the kernel. */
export function kernelChecks(): Check[] {
  const [major = 0, minor = 0] = release().split(/[.-]/).map(Number)
  const has = (first: number, second: number) =>
    major > first || (major === first && minor >= second)
  return FEATURES.map(([name, first, second, meaning]) => {
    const isPresent = has(first, second)
    return {
      name,
      value: isPresent ? 'yes' : `no, Linux ${release()}`,
      verdict: isPresent ? 'ok' : 'note',
      meaning,
      ...(!isPresent && { remedy: `Needs Linux ${first}.${second}.` }),
    }
  })
}

/** Checks the limits of the kernel and of this process. */
export function limitChecks(): Check[] {
  const files = softLimit('Max open files')
  return [
    sysctl('net.core.wmem_default', 212_992, value => [
      `A datagram has at most ${value - 32} bytes; memfd: true or a stream carries more.`,
      'sysctl -w net.core.wmem_default=1048576 raises it.',
    ]),
    sysctl('net.core.wmem_max', 212_992, value => [
      `The send buffer of a socket can grow to ${value} bytes (twice that with accounting).`,
      'sysctl -w net.core.wmem_max=4194304 raises it.',
    ]),
    sysctl('net.unix.max_dgram_qlen', 10, value => [
      `${value + 1} datagrams wait at a bound socket; fdwire queues more at the sender.`,
      'sysctl -w net.unix.max_dgram_qlen=512 raises it.',
    ]),
    sysctl('net.core.somaxconn', 511, value => [
      `At most ${value} connections wait until a listener accepts them.`,
      'sysctl -w net.core.somaxconn=4096 raises it.',
    ]),
    {
      name: 'RLIMIT_NOFILE',
      value: `${files}`,
      verdict: files >= 4_096 ? 'ok' : 'note',
      meaning: 'Open descriptors of a process, received ones and connections included.',
      ...(files < 4_096 && { remedy: 'ulimit -n 65536, or LimitNOFILE= in systemd, raises it.' }),
    },
  ]
}

function sysctl(
  name: string,
  least: number,
  describe: (value: number) => [meaning: string, remedy: string],
): Check {
  const value = readNumber(`/proc/sys/${name.replaceAll('.', '/')}`)
  if (value === undefined) {
    const meaning = 'Cannot be read in this container; the host has its own value.'
    return { name, value: 'unknown', verdict: 'note', meaning }
  }
  const [meaning, remedy] = describe(value)
  if (value >= least) return { name, value: String(value), verdict: 'ok', meaning }
  return { name, value: String(value), verdict: 'note', meaning, remedy }
}

function readNumber(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}
