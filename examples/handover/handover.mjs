// Replaces a running HTTP server by a new process, and no client notices.
//
//   old process                              new process
//        │ ◄──────────────────────────── take ───┤   over a Unix socket, the control path
//        ├─── the listening socket ────────────► │   it has it, and doesn't accept yet
//        │ ◄──────────────────────────── have ───┤
//   stops accepting                              │
//        ├─── go ──────────────────────────────► │   accepts
//        ├─── connections ─────────────────────► │   it has them, and doesn't read yet
//        │ ◄──────────────────────────── have ───┤
//   closes its own                               │
//        ├─── go ──────────────────────────────► │   reads           … until none is left
//        ├─── done ────────────────────────────► │   binds the control path
//        │ ◄─────────────────────────── bound ───┤
//   ends                                         │   waits for its own successor
//
// A connection is idle in the old process, in nobody's hands between `have` and `go`, and idle in the
// new one: nothing is read in one process that the other should answer. Only the old process decides,
// by `go`. Where the new one dies the old one takes back what it has not said `go` for, and listens
// again. Where the old one dies the new one keeps all it has, since nobody else has it then.
import { once } from 'node:events'
import { Server } from 'node:net'
import { connect, listen, pair } from 'fdwire'
import { Connections } from './connections.mjs'

const OPTIONS = { protocol: 'jsoncomm', type: 'seqpacket' }

/**
 * Serves: in the place of the process that has the control path, or as the first one.
 *
 * `server` is an `http.Server` that doesn't listen yet, `address` the TCP address that its `listen`
 * takes, and only for the first process. `control` is the path where successors knock: whoever may connect to it gets
 * all connections, so it is there for this user alone. `patience` (ms, 10,000) is how long the other
 * process may take for an answer before it counts as hung.
 *
 * Resolves as soon as the server accepts, with
 * - `inherited`: whether there was a process before this one;
 * - `ended`: a promise, resolved when a successor has everything, or after `close()`; it rejects
 *   where this process could not take over everything, which had better end then;
 * - `close()`: ends the service, without a successor.
 */
export async function serve(server, { address, control, patience = 10_000 }) {
  const connections = new Connections(server)
  const { desk, inherited } = await begin(server, connections, { address, control })
  const ended = waitForSuccessors(server, connections, desk, patience)
  return {
    inherited,
    ended,
    async close() {
      await (await desk).close()
      await ended // a handover that is under way comes to its end
      server.close()
    },
  }
}

/** Gets the listening socket, and the desk: where successors knock, which is there later. */
async function begin(server, connections, { address, control }) {
  // Another process may begin, or end, between any two of these steps: then it is looked at anew.
  for (;;) {
    const channel = await orNothing(['ENOENT', 'ECONNREFUSED'], connect(control, OPTIONS))
    if (channel !== undefined) {
      if (!(await takeListener(channel, server))) continue
      const desk = takeConnections(channel, connections, control)
      return { inherited: true, desk }
    }
    const desk = await orNothing(['EADDRINUSE'], listen(control, OPTIONS))
    if (desk === undefined) continue
    try {
      server.listen(address)
      await once(server, 'listening')
      if (typeof server.address() === 'string') {
        server.close()
        throw new TypeError(
          'address must be one of TCP: Node removes a path where it stops to listen',
        )
      }
    } catch (error) {
      await desk.close()
      throw error
    }
    return { inherited: false, desk: Promise.resolve(desk) }
  }
}

// ── The new process ──────────────────────────────────────────────────────────────────────────────

/** Listens in the place of the process at the other end; false where that is gone already. */
async function takeListener(channel, server) {
  channel.on('error', () => {}) // what is said and heard tells it
  // Descriptors that this process has no room for: it can't take over, and says so by ending.
  channel.on('malformed', error => channel.destroy(error))
  say(channel, { take: true })
  const fds = await takeSome(channel)
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
    const fds = await takeSome(channel)
    if (fds === null) break
    connections.add(fds)
  }
  const desk = await listen(control, { ...OPTIONS, unlink: 'always' })
  say(channel, { bound: true })
  await channel.close()
  return desk
}

/** The next descriptors, once they are ours; null when no more come. */
async function takeSome(channel) {
  // It may take long: another successor is served first, or no connection is idle.
  const message = await hear(channel)
  if (message === null || message.value.done) return null
  const { fds, value } = message
  if (value.stop !== undefined) throw refused(value.stop)
  say(channel, { have: fds.length })
  const answer = await hear(channel)
  // It has died without a word: nobody else has them now.
  if (answer === null || answer.value.go) return fds
  fds.close()
  throw refused(answer.value.stop)
}

function refused(why) {
  return new Error(`The process before this one goes on by itself: ${why}`)
}

// ── The old process ──────────────────────────────────────────────────────────────────────────────

async function waitForSuccessors(server, connections, coming, patience) {
  const desk = await coming
  // It accepts one at a time: the others knock in vain, and then at the successor's desk.
  for await (const channel of desk) {
    const replaced = await handOver(channel, server, connections, patience)
    if (replaced) break
  }
  // The path is the successor's by now, and stays.
  await desk.close()
}

/** Hands everything over; false where the successor failed, and this process serves as before. */
async function handOver(channel, server, connections, patience) {
  channel.on('error', () => {}) // what is said and heard tells it
  let spare
  try {
    expect(await hear(channel, patience), 'take')
    spare = await duplicate(server)
    await give(channel, { listener: true }, [server], patience)
    stopAccepting(server)
    say(channel, { go: true })
    connections.beginHandover()
    for (;;) {
      const batch = await connections.next(channel)
      if (batch === null) break
      await give(channel, { connections: batch.length }, batch, patience)
      connections.letGo(batch)
      say(channel, { go: true })
    }
    say(channel, { done: true })
    expect(await hear(channel), 'bound') // without a timeout: by now everything is the successor's
    return true
  } catch (error) {
    say(channel, { stop: error.message })
    if (spare !== undefined && !server.listening) {
      spare.toServer(0, { server })
      await once(server, 'listening')
    }
    connections.takeBack()
    process.emitWarning(`The handover has failed, this process goes on: ${error.message}`)
    return false
  } finally {
    spare?.close()
    await channel.close().catch(() => {})
  }
}

/** Sends descriptors, and waits until the successor says that it has them. */
async function give(channel, message, fds, patience) {
  channel.send(message, { fds })
  expect(await hear(channel, patience), 'have')
}

/**
 * Closes our copy of the listening socket; connections that come meanwhile wait in the kernel.
 *
 * `http.Server.close` would close the idle connections as well; that of `net.Server` doesn't.
 */
function stopAccepting(server) {
  Server.prototype.close.call(server)
}

/** Another descriptor of the same socket. Node can't make one; a message to ourselves can. */
async function duplicate(server) {
  const [here, there] = pair({ protocol: 'jsoncomm' })
  here.send(null, { fds: [server] })
  const { fds } = await there.receive()
  await Promise.all([here.close(), there.close()])
  return fds
}

// ── Both ─────────────────────────────────────────────────────────────────────────────────────────

/** Says something to the other process; false where that is gone. */
function say(channel, message) {
  try {
    channel.send(message)
    return true
  } catch {
    return false
  }
}

/** What the other process says; null where that is gone. */
async function hear(channel, timeout) {
  return (await orNothing(['ECONNRESET'], channel.receive({ timeout }))) ?? null
}

function expect(message, word) {
  if (message === null) throw new Error('the other process has gone')
  if (!(word in message.value)) {
    throw new Error(`the other process says ${JSON.stringify(message.value)}, and not '${word}'`)
  }
}

/** What a promise gives, undefined where it fails for one of these reasons. */
async function orNothing(codes, promise) {
  try {
    return await promise
  } catch (error) {
    if (codes.includes(error.code)) return undefined
    throw error
  }
}
