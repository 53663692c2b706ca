import { randomUUID } from 'node:crypto'
import { closedError } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { ServiceClient } from './service-client.js'
import type { StartOptions } from './service-process.js'

/** Starts services, and stops them in reverse order, since a service may depend on earlier ones. */
export class ServiceManager {
  readonly #services = new Map<string, Promise<ServiceClient>>()
  #stopping: Promise<void> | undefined

  /**
   * Starts a service. Its `id` must differ from the ids of all earlier services, even ended ones.
   *
   * # Errors
   * Those of `ServiceClient.start`; TypeError for an `id` that exists; ERR_FDWIRE_CLOSED after
   * `stop()`.
   */
  async start(
    command: string,
    args: readonly string[] = [],
    options: StartOptions = NO_OPTIONS,
  ): Promise<ServiceClient> {
    if (this.#stopping !== undefined) throw closedError('start')
    const { id = randomUUID() } = options
    if (this.#services.has(id)) throw new TypeError(`A service with the id '${id}' already exists`)
    const starting = ServiceClient.start(command, args, { ...options, id })
    this.#services.set(id, starting)
    try {
      return await starting
    } catch (error) {
      this.#services.delete(id)
      throw error
    }
  }

  /**
   * Stops all services one after another, the last one first.
   *
   * A service that takes longer than `timeout` (ms, 10,000; 0: no limit) is killed. A second call
   * returns the same promise.
   */
  stop(options: { timeout?: number | undefined } = NO_OPTIONS): Promise<void> {
    this.#stopping ??= this.#stop(options)
    return this.#stopping
  }

  /** The same as `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(options: { timeout?: number | undefined }): Promise<void> {
    for (const starting of [...this.#services.values()].reverse()) {
      // If the service could not be started, `start` has already rejected with the error.
      const client = await starting.catch(() => undefined)
      await client?.stop(options)
    }
  }
}
