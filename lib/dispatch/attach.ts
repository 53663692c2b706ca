import { Server } from 'node:net'
import { environment, hot } from '../native/environment.js'
import { describeValue } from '../util/checks.js'
import { isDescriptor } from '../util/descriptor.js'
import { Acceptor } from './acceptor.js'
import { acceptedConnection, type Pending } from './pending.js'

/** Who gets the connections of a server. */
export interface AttachmentHost {
  /** Takes connections from which nothing was read. */
  onAccepted(server: Server, connections: Pending[]): void
  /** Whether connections may be accepted now. */
  isAccepting(): boolean
  /** The server has stopped listening. */
  onClosed(attachment: Attachment): void
}

/** What this module uses of the handle of a net.Server. Node 20 to 26 have it. */
interface Handle {
  readonly fd?: unknown
  onconnection?: (this: unknown, status: number, client?: Handle) => void
  getsockname?(out: object): number
  close(callback?: () => void): void
}

interface ServerInternals {
  _handle: Handle | null
  /** Whether `unref` was called. */
  _unref?: boolean
}

/**
 * Takes the connections of a `net.Server`, now or as soon as it listens.
 *
 * The listening socket of a TCP server is accepted from natively: Node's handle is closed, and the
 * server gets a handle in its place that has only what a server calls, as in workers of
 * node:cluster. With any other server Node accepts, and its connections are taken before Node makes
 * sockets of them.
 */
export class Attachment {
  readonly #server: Server
  readonly #host: AttachmentHost
  #acceptor: Acceptor | undefined

  /**
   * # Errors
   * TypeError for a value that is not a net.Server.
   */
  constructor(server: Server, host: AttachmentHost) {
    if (!(server instanceof Server)) {
      throw new TypeError(`attach takes a net.Server, not ${describeValue(server)}`)
    }
    this.#server = server
    this.#host = host
    server.on('close', this.#onClose)
    if (server.listening) this.#take()
    else server.prependListener('listening', this.#take)
  }

  get server(): Server {
    return this.#server
  }

  /** Accepts connections, or leaves them in the backlog, as the host wants. */
  update(): void {
    if (this.#host.isAccepting()) this.#acceptor?.resume()
    else this.#acceptor?.pause()
  }

  /** Closes the server. */
  close(): void {
    const { listening } = this.#server
    this.#release()
    if (listening) this.#server.close()
  }

  readonly #onClose = (): void => {
    this.#release()
    this.#host.onClosed(this)
  }

  readonly #take = (): void => {
    const internals = this.#server as unknown as ServerInternals
    const handle = internals._handle as Handle
    if (isDescriptor(handle.fd) && hot.isTcp(handle.fd) === 1)
      this.#acceptNatively(internals, handle)
    else handle.onconnection = this.#onConnection
    this.update()
  }

  #acceptNatively(internals: ServerInternals, handle: Handle): void {
    const server = this.#server
    const fd = environment.duplicate(handle.fd as number)
    const acceptor = makeAcceptor(fd, {
      onAccepted: fds => this.#host.onAccepted(server, fds.map(acceptedConnection)),
      onError: error => {
        server.emit('error', error)
        server.close()
      },
    })
    const name = {}
    handle.getsockname?.(name)
    // Closing it also ends accepting by libuv. Its socket stays open.
    handle.close()
    if (internals._unref) acceptor.setReferenced(false)
    this.#acceptor = acceptor
    internals._handle = new AttachedHandle(fd, name, acceptor)
  }

  /** Takes a connection that Node has accepted. */
  readonly #onConnection = (status: number, client?: Handle): void => {
    if (status !== 0 || client === undefined) return
    try {
      if (!isDescriptor(client.fd)) return
      const fd = environment.duplicate(client.fd)
      environment.ownFd(fd)
      const isTcp = hot.isTcp(fd) === 1
      this.#host.onAccepted(this.#server, [{ ...acceptedConnection(fd), isTcp }])
    } catch {
      // No descriptor is free for the duplicate: the connection is closed.
    } finally {
      client.close()
    }
  }

  #release(): void {
    this.#acceptor?.close()
    this.#acceptor = undefined
    this.#server.off('close', this.#onClose)
    this.#server.off('listening', this.#take)
  }
}

/** Makes an acceptor, or closes the descriptor. */
function makeAcceptor(fd: number, host: ConstructorParameters<typeof Acceptor>[1]): Acceptor {
  try {
    return new Acceptor(fd, host)
  } catch (error) {
    environment.closeDuplicate(fd)
    throw error
  }
}

/** The handle of an attached server. */
class AttachedHandle implements Handle {
  readonly fd: number
  readonly #name: object
  readonly #acceptor: Acceptor

  constructor(fd: number, name: object, acceptor: Acceptor) {
    this.fd = fd
    this.#name = name
    this.#acceptor = acceptor
  }

  getsockname(out: object): number {
    Object.assign(out, this.#name)
    return 0
  }

  ref(): void {
    this.#acceptor.setReferenced(true)
  }

  unref(): void {
    this.#acceptor.setReferenced(false)
  }

  hasRef(): boolean {
    return this.#acceptor.isReferenced
  }

  close(callback?: () => void): void {
    this.#acceptor.close()
    callback?.()
  }
}
