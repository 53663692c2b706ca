import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { TcpSettings } from '#native'
import { RecordKind } from '#native'
import { countReferenced, environment, register, unregister } from '../native/environment.js'
import { checkTcp, type TcpAddress } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import { abortError, systemError, timeoutError } from '../util/errors.js'
import { errorOf, readNotice } from '../wire/records.js'

/** Where a name has several addresses, how long each but the last is tried at least (ms). */
const LEAST_ATTEMPT = 250

/** What is set on a TCP socket, as native code gets it. */
export function tcpSettings(checked: CheckedOptions): TcpSettings {
  const { noDelay, keepAlive, reusePort } = checked
  return { noDelay, reusePort, ...(keepAlive === false ? {} : { keepAlive }) }
}

/**
 * Connects to a TCP address, trying those of a name one after the other; the channel's index.
 *
 * # Errors
 * The last address's: ECONNREFUSED, EHOSTUNREACH …; dns's: ENOTFOUND …; ERR_FDWIRE_TIMEOUT;
 * AbortError.
 */
export async function connectTcp(address: TcpAddress, checked: CheckedOptions): Promise<number> {
  const { host, port } = checkTcp(address, 'The address', 1)
  const { timeout, signal } = checked
  const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout
  const late = () => timeoutError(`connect: no connection to ${host}:${port}`, timeout)
  const hosts = await within(resolve(host), deadline, signal, late)
  let failed: Error | undefined
  for (const [at, one] of hosts.entries()) {
    const left = deadline - performance.now()
    if (left <= 0) throw late()
    const others = hosts.length - at - 1
    const share = Math.max(left / (others + 1), Math.min(LEAST_ATTEMPT, left))
    const result = await attempt(one, port, checked, others === 0 ? left : share)
    if (typeof result === 'number') return result
    failed = result ?? late()
  }
  throw failed ?? late()
}

/** The addresses of a host, the first first. */
export async function resolve(host: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host]
  const found = await lookup(host, { all: true, verbatim: true })
  return found.map(({ address }) => address)
}

/** One address: the channel's index, or why not; undefined where it took too long (ms). */
async function attempt(
  host: string,
  port: number,
  checked: CheckedOptions,
  limit: number,
): Promise<number | Error | undefined> {
  const { signal } = checked
  if (signal?.aborted) throw abortError(signal)
  const outcome = environment.connectTcp(host, port, tcpSettings(checked), checked)
  const { channel, errno, syscall, connecting } = outcome
  const failure = (number: number, call: string) =>
    Object.assign(systemError(number, call, { dest: `${host}:${port}` }), { address: host, port })
  if (channel < 0) return failure(errno, syscall)
  if (!connecting) return channel
  countReferenced(1)
  try {
    const error = await connected(channel, limit, signal)
    if (error === null) return channel
    unregister(channel)
    if (error === undefined || !('errno' in error)) return error
    return failure(error.errno as number, 'connect')
  } catch (error) {
    unregister(channel)
    throw error
  } finally {
    countReferenced(-1)
  }
}

/** Waits until a socket is connected: null, why not, or undefined after `limit` (ms). */
function connected(
  channel: number,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Error | null | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      act()
    }
    const onAbort = () => settle(() => reject(abortError(signal as AbortSignal)))
    const timer = Number.isFinite(limit)
      ? setTimeout(() => settle(() => resolve(undefined)), limit)
      : undefined
    signal?.addEventListener('abort', onAbort, { once: true })
    register(channel, {
      onTurn(records) {
        for (let index = 0; index < records; index++) {
          const notice = readNotice(index)
          const made = notice.kind === RecordKind.Connected
          settle(() => resolve(made ? null : errorOf(notice, true)))
        }
      },
    })
  })
}

/** A promise, for as long as it may take. */
async function within<T>(
  promise: Promise<T>,
  deadline: number,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<T> {
  const limit = deadline - performance.now()
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const given = new Promise<never>((_, reject) => {
    if (Number.isFinite(limit)) timer = setTimeout(() => reject(late()), limit)
    onAbort = () => reject(abortError(signal as AbortSignal))
    if (signal?.aborted) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, given])
  } finally {
    clearTimeout(timer)
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
  }
}
