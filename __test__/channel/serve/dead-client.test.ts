import { pair } from 'fdwire'
import { expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../../support/channels.js'
import { waitUntil } from '../../support/streams.js'

destroyChannelsAfterEach()

/** Maximum number of messages per turn of a channel. */
const TURN = 4_096

const REQUESTS = 30_000

it('handles the requests of a client that has died in turns, while the event loop does other work', async () => {
  const [client, server] = pair({ protocol: 'lines', encoding: 'json' })
  for (const channel of [client, server]) track(channel)
  let [handled, encoded] = [0, 0]
  const serving = server.serve(() => {
    handled++
    const toJSON = () => {
      encoded++
      return 'a reply that the client does not read'.repeat(20)
    }
    return { toJSON }
  })
  client.sendAll(Array(REQUESTS).fill(1))
  await client.flush()
  await waitUntil(() => server.stats.queuedBytes > 0)
  expect(REQUESTS - handled).toBeGreaterThan(4 * TURN)

  const answered = encoded
  client.destroy()
  let most = 0
  for (let last = handled; !server.closed; last = handled) {
    await loopTurns(1)
    most = Math.max(most, handled - last)
  }
  expect(most).toBeLessThanOrEqual(TURN)
  expect(handled).toBe(REQUESTS)
  // The other replies are dropped before they are encoded.
  expect(encoded - answered).toBeLessThanOrEqual(TURN)
  await expect(serving).rejects.toThrow(/ECONNRESET|EPIPE/)
})
