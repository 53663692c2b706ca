// Replaces a running HTTP server by a new process, without an interruption for its clients.
//
//   old process                              new process
//        │ ◄──────────────────────────── take ───┤   over a Unix socket, the control path
//        ├─── the listening socket ────────────► │   has it, and does not accept yet
//        │ ◄──────────────────────────── have ───┤
//   stops accepting                              │
//        ├─── go ──────────────────────────────► │   accepts
//        ├─── connections ─────────────────────► │   has them, and does not read yet
//        │ ◄──────────────────────────── have ───┤
//   closes its descriptors                       │
//        ├─── go ──────────────────────────────► │   reads           … until all are sent
//        ├─── done ────────────────────────────► │   binds the control path
//        │ ◄─────────────────────────── bound ───┤
//   ends                                         │   waits for its own successor
//
// A connection is handed over while it is idle. Between `have` and `go` neither process reads from
// it, so no process reads a request that the other one has to answer. The old process decides, by
// sending `go`. If the new process dies, the old one takes back the connections for which it has
// not sent `go`, and listens again. If the old process dies, the new one keeps everything that it
// has received, because it is then the only owner.
import { once } from 'node:events'
import { Server } from 'node:net'
import { connect, listen, pair } from 'fdwire'
import { Connections } from './connections.mjs'

const OPTIONS = { protocol: 'jsoncomm', type: 'seqpacket' }

/**
 * Starts the server: as the successor of the process that listens on the control path, or as the
 * first process.
 *
 * `server` is an `http.Server` that does not listen yet. `address` is the TCP address to listen on,
 * which only the first process uses. `control` is the path to which a successor connects. A process
 * that can connect to it receives all connections, so only the same user may. `timeout` (ms,
 * 10,000) limits the wait for a reply of the successor, after which this process continues to
 * serve.
 *
 * Resolves when the server accepts connections, with
 * - `inherited`: whether this process has replaced another one;
 * - `ended`: a promise that resolves when a successor has taken over everything, or after
 *   `close()`. It rejects if this process could not take over everything, and must exit;
 * - `close()`: ends the service without a successor.
 */
export async function serve(server, { address, control, timeout = 10_000 }) {
  const connections = new Connections(server)
  const { listener, inherited } = await start(server, connections, { address, control })
  const ended = awaitSuccessors(server, connections, listener, timeout)
  return {
    inherited,
    ended,
    async close() {
      await (await listener).close()
      await ended // a handover in progress finishes first
      server.close()
    },
  }
}

/**
 * Starts to listen. Returns a promise for the control listener, because a successor creates that
 * only after it has taken over all connections.
 */
async function start(server, connections, { address, control }) {
  // Another process may start or exit between any two of these steps. Then they are repeated.
  for (;;) {
    const channel = await orNothing(['ENOENT', 'ECONNREFUSED'], connect(control, OPTIONS))
    if (channel !== undefined) {
      if (!(await takeListener(channel, server))) continue
      return { inherited: true, listener: takeConnections(channel, connections, control) }
    }
    const listener = await orNothing(['EADDRINUSE'], listen(control, OPTIONS))
    if (listener === undefined) continue
    try {
      server.listen(address)
      await once(server, 'listening')
      if (typeof server.address() === 'string') {
        server.close()
        throw new TypeError(
          'address must be a TCP address: Node removes a path when it stops listening there',
        )
      }
    } catch (error) {
      await listener.close()
      throw error
    }
    return { inherited: false, listener: Promise.resolve(listener) }
  }
}

// ── The new process ──────────────────────────────────────────────────────────────────────────────

/** Takes over the listening socket. Returns false if the old process has exited. */
async function takeListener(channel, server) {
  channel.on('error', () => {}) // `send` and `receive` report it as well
  // This process cannot open enough descriptors to take over, so the handover fails.
  channel.on('malformed', error => channel.destroy(error))
  send(channel, { take: true })
  const fds = await takeFds(channel)
  if (fds === null) {
    channel.destroy()
    return false
  }
  fds.toServer(0, { server })
  await once(server, 'listening')
  return true
}

async function takeConnections(channel, connections, control) {
  for (;;) {
    const fds = await takeFds(channel)
    if (fds === null) break
    connections.add(fds)
  }
  const listener = await listen(control, { ...OPTIONS, unlink: 'always' })
  send(channel, { bound: true })
  await channel.close()
  return listener
}

/** Returns the next descriptors once this process owns them, or null after the last. */
async function takeFds(channel) {
  // No timeout: the old process may serve another successor first, or have no idle connection.
  const message = await receive(channel)
  if (message === null || message.value.done) return null
  const { fds, value } = message
  if (value.stop !== undefined) throw refused(value.stop)
  send(channel, { have: fds.length })
  const answer = await receive(channel)
  // If the old process has died, this process is the only owner of the descriptors.
  if (answer === null || answer.value.go) return fds
  fds.close()
  throw refused(answer.value.stop)
}

function refused(reason) {
  return new Error(`The old process continues to serve: ${reason}`)
}

// ── The old process ──────────────────────────────────────────────────────────────────────────────

async function awaitSuccessors(server, connections, controlListener, timeout) {
  const listener = await controlListener
  // One successor at a time. Once it has taken over, the others connect again, to its listener.
  for await (const channel of listener) {
    const replaced = await handOver(channel, server, connections, timeout)
    if (replaced) break
  }
  // The successor has bound the path again, so this does not remove it.
  await listener.close()
}

/** Hands everything over. Returns false if that fails and this process continues to serve. */
async function handOver(channel, server, connections, timeout) {
  channel.on('error', () => {}) // `send` and `receive` report it as well
  let spare
  try {
    expect(await receive(channel, timeout), 'take')
    spare = await duplicate(server)
    await give(channel, { listener: true }, [server], timeout)
    stopAccepting(server)
    send(channel, { go: true })
    connections.beginHandover()
    for (;;) {
      const batch = await connections.next(channel)
      if (batch === null) break
      await give(channel, { connections: batch.length }, batch, timeout)
      connections.release(batch)
      send(channel, { go: true })
    }
    send(channel, { done: true })
    expect(await receive(channel), 'bound') // no timeout: the successor owns everything now
    return true
  } catch (error) {
    send(channel, { stop: error.message })
    if (spare !== undefined && !server.listening) {
      spare.toServer(0, { server })
      await once(server, 'listening')
    }
    connections.takeBack()
    process.emitWarning(
      `The handover has failed, this process continues to serve: ${error.message}`,
    )
    return false
  } finally {
    spare?.close()
    await channel.close().catch(() => {})
  }
}

/** Sends descriptors, and waits until the successor acknowledges them. */
async function give(channel, message, fds, timeout) {
  channel.send(message, { fds })
  expect(await receive(channel, timeout), 'have')
}

/**
 * Closes this process's descriptor of the listening socket. New connections wait in the kernel.
 *
 * `close` of `http.Server` would also close the idle connections; `close` of `net.Server` does not.
 */
function stopAccepting(server) {
  Server.prototype.close.call(server)
}

/**
 * Returns a duplicate of the listening descriptor, received from this process: Node has no `dup`.
 */
async function duplicate(server) {
  const [here, there] = pair({ protocol: 'jsoncomm' })
  here.send(null, { fds: [server] })
  const { fds } = await there.receive()
  await Promise.all([here.close(), there.close()])
  return fds
}

// ── Both ─────────────────────────────────────────────────────────────────────────────────────────

/** Sends a message. If the other process has exited, the next `receive` reports that. */
function send(channel, message) {
  try {
    channel.send(message)
  } catch {
    // The channel is closed.
  }
}

/** Returns the next message, or null if the other process has exited. */
async function receive(channel, timeout) {
  return (await orNothing(['ECONNRESET'], channel.receive({ timeout }))) ?? null
}

function expect(message, word) {
  if (message === null) throw new Error('the other process has exited')
  if (!(word in message.value)) {
    throw new Error(
      `expected '${word}' from the other process, not ${JSON.stringify(message.value)}`,
    )
  }
}

/** Resolves to undefined if the promise rejects with one of these codes. */
async function orNothing(codes, promise) {
  try {
    return await promise
  } catch (error) {
    if (codes.includes(error.code)) return undefined
    throw error
  }
}
