import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Attempt, Attempts } from '../../lib/util/attempts.js'

const OPTIONS = { minDelay: 1, maxDelay: 4, maxAttempts: 3 }

/** Returns attempts for which `open` decides, what they have reported, and a promise of their end. */
function attemptsOf(open: () => Promise<string>, more: Partial<Attempt<string>> = {}) {
  const log: string[] = []
  let end = () => {}
  const ended = new Promise<void>(resolve => {
    end = resolve
  })
  const attempts = new Attempts<string>(OPTIONS, {
    open: () => {
      log.push('open')
      return open()
    },
    onOpened: name => log.push(`opened ${name}`),
    discard: name => log.push(`discarded ${name}`),
    onFailed: error => log.push(`failed: ${error.message}`),
    onExhausted: () => {
      log.push('exhausted')
      end()
    },
    keepsAlive: true,
    ...more,
  })
  return { attempts, log, ended }
}

/** Resolves after each timer of an attempt that is set now: timers expire in the order of their times. */
const passLongestDelay = () => setTimeout(2 * OPTIONS.maxDelay)

const refuse = () => Promise.reject(new Error('refused'))
const FAILED = ['open', 'failed: refused']

describe('attempts to connect', () => {
  it('end after maxAttempts failures in a row', async () => {
    const { attempts, log, ended } = attemptsOf(refuse)
    attempts.lose(false)
    await ended
    expect(log).toEqual([...FAILED, ...FAILED, ...FAILED, 'exhausted'])
  })

  it('do not count one that is made at once', async () => {
    const { attempts, log, ended } = attemptsOf(refuse)
    expect(await attempts.now()).toBe(false)
    await ended
    expect(log).toEqual([...FAILED, ...FAILED, ...FAILED, ...FAILED, 'exhausted'])
    expect(await attempts.now()).toBe(false)
    expect(log.slice(9)).toEqual(FAILED)
    attempts.stop()
  })

  it('count anew after each connection, however short it was', async () => {
    // Two attempts fail, and the third succeeds, ten times in a row.
    let calls = 0
    const { attempts, log, ended } = attemptsOf(
      () => (++calls % 3 === 0 && calls <= 30 ? Promise.resolve('it') : refuse()),
      { onOpened: () => attempts.lose(false) },
    )
    attempts.lose(false)
    await ended
    expect(calls).toBe(33)
    expect(log.at(-1)).toBe('exhausted')
  })

  it('share an attempt that is in progress', async () => {
    const { attempts, log } = attemptsOf(() => Promise.resolve('it'))
    expect(await Promise.all([attempts.now(), attempts.now()])).toEqual([true, true])
    expect(log).toEqual(['open', 'opened it'])
  })

  it('discard a connection that is made after stop(), and make none then', async () => {
    const { attempts, log } = attemptsOf(() => Promise.resolve('it'))
    const attempt = attempts.now()
    attempts.stop()
    expect(await attempt).toBe(false)
    attempts.lose(true)
    expect(await attempts.now()).toBe(false)
    expect(log).toEqual(['open', 'discarded it'])
  })

  it('are one at a time, whatever a callback does when one has failed', async () => {
    let calls = 0
    const { attempts, log } = attemptsOf(() => (++calls === 1 ? refuse() : Promise.resolve('it')), {
      onFailed: () => void attempts.now(),
    })
    attempts.lose(false)
    await expect.poll(() => log).toEqual(['open', 'open', 'opened it'])
    await passLongestDelay()
    expect(log).toEqual(['open', 'open', 'opened it'])
    attempts.stop()
  })

  it('are one at a time if a connection is lost during an attempt', async () => {
    const { attempts, log } = attemptsOf(() => Promise.resolve('it'))
    const attempt = attempts.now()
    attempts.lose(false)
    expect(await attempt).toBe(true)
    await passLongestDelay()
    expect(log).toEqual(['open', 'opened it'])
    attempts.stop()
  })

  it('go on after a callback has thrown the error of a failed one', async () => {
    let calls = 0
    const { attempts, log } = attemptsOf(() => (++calls === 1 ? refuse() : Promise.resolve('it')), {
      onFailed: error => {
        throw error
      },
    })
    await expect(attempts.now()).rejects.toThrow('refused')
    await expect.poll(() => log).toEqual(['open', 'open', 'opened it'])
    attempts.stop()
  })

  it('are not exhausted if a callback has ended them', async () => {
    const { attempts, log } = attemptsOf(refuse, {
      onFailed: () => {
        if (log.push('failed') === 2 * OPTIONS.maxAttempts) attempts.stop()
      },
    })
    attempts.lose(false)
    await expect.poll(() => log).toHaveLength(2 * OPTIONS.maxAttempts)
    await passLongestDelay()
    expect(log).toEqual(['open', 'failed', 'open', 'failed', 'open', 'failed'])
  })

  it('report an error of the receiver of a connection, instead of connecting again', async () => {
    const { attempts, log } = attemptsOf(() => Promise.resolve('it'), {
      onOpened: () => {
        throw new Error('of the receiver')
      },
    })
    await expect(attempts.now()).rejects.toThrow('of the receiver')
    expect(log).toEqual(['open'])
  })
})
