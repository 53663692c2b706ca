import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { RecordKind } from '#native'
import { countReferenced, environment, register, unregister } from '../native/environment.js'
import { checkTcp, type TcpAddress } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import {
  abortError,
  errorCode,
  type SystemError,
  systemError,
  timeoutError,
} from '../util/errors.js'
import { Deadline, startLimits, type WaitLimits, withLimits } from '../util/wait.js'
import { endError } from '../wire/errors.js'
import { turn } from '../wire/turn.js'

/** The shortest timeout of an attempt while there are other addresses to try (ms). */
const MIN_ATTEMPT = 250

/**
 * Connects to a TCP address. Tries the addresses of a host name one after the other. Returns the
 * index of the channel.
 *
 * # Errors
 * Those of the last attempt: ECONNREFUSED, EHOSTUNREACH …; those of the DNS lookup: ENOTFOUND …;
 * ERR_FDWIRE_TIMEOUT; AbortError.
 */
export async function connectTcp(address: TcpAddress, checked: CheckedOptions): Promise<number> {
  const { host, port } = checkTcp(address, 'The address', 1)
  const { timeout, signal } = checked
  const deadline = new Deadline(timeout)
  const late = () => timeoutError(`connect: no connection to ${host}:${port}`, timeout)
  const hosts = await resolveHost(host, checked, late)
  let failure: unknown = late()
  for (const [at, one] of hosts.entries()) {
    if (deadline.isOver) throw late()
    const limits = { timeout: shareOf(deadline, hosts.length - at), signal }
    try {
      return await attempt(one, port, checked, limits, late)
    } catch (error) {
      if (errorCode(error) === 'ABORT_ERR') throw error
      failure = error
    }
  }
  throw failure
}

/**
 * Returns the IP addresses of a host, in the order of the resolver.
 *
 * # Errors
 * Those of the DNS lookup; AbortError; the error that `late` returns.
 */
export function resolveHost(
  host: string,
  limits: WaitLimits,
  late: () => Error,
): Promise<string[]> {
  const found =
    isIP(host) === 0
      ? lookup(host, { all: true, verbatim: true }).then(all => all.map(one => one.address))
      : Promise.resolve([host])
  return withLimits(found, limits, { late, keepsAlive: true })
}

/** Returns the next attempt's share of the remaining time (ms; 0: no limit). */
function shareOf({ remaining }: Deadline, attempts: number): number {
  return Math.max(remaining / attempts, Math.min(MIN_ATTEMPT, remaining))
}

/** Tries one IP address. Returns the index of the channel. */
async function attempt(
  host: string,
  port: number,
  checked: CheckedOptions,
  limits: WaitLimits,
  late: () => Error,
): Promise<number> {
  const { signal } = limits
  if (signal?.aborted) throw abortError(signal)
  try {
    const { channel, connecting } = environment.connectTcp(host, port, checked)
    if (connecting) await connected(channel, checked, limits, late)
    return channel
  } catch (error) {
    const { errno, syscall } = error as Partial<SystemError>
    if (errno === undefined || syscall === undefined) throw error
    const dest = `${host}:${port}`
    throw Object.assign(systemError(errno, syscall, { dest }), { address: host, port })
  }
}

/** Waits until a channel is connected. Closes it if that fails. */
async function connected(
  channel: number,
  checked: CheckedOptions,
  limits: WaitLimits,
  late: () => Error,
): Promise<void> {
  countReferenced(1)
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = startLimits(limits, { late }, reject)
      register(channel, {
        onTurn(records) {
          for (let index = 0; index < records; index++) {
            stop()
            const event = turn.event(index)
            if (event.kind === RecordKind.Connected) resolve()
            else reject(endError(event, checked) ?? late())
          }
        },
      })
    })
  } catch (error) {
    unregister(channel)
    throw error
  } finally {
    countReferenced(-1)
  }
}
