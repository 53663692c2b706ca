import { randomUUID } from 'node:crypto'
import { closedError } from '../../util/errors.js'
import { ServiceClient } from './service-client.js'
import type { StartOptions } from './service-process.js'

/** Starts services, and stops them in the opposite order: a later one may need an earlier one. */
export class ServiceManager {
  readonly #services = new Map<string, Promise<ServiceClient>>()
  #stopping: Promise<void> | undefined

  /**
   * Starts a service, whose `id` none before has had, ended ones included.
   *
   * # Errors
   * Those of `ServiceClient.start`; TypeError for an `id` that is there already; ERR_FDWIRE_CLOSED
   * after `stop()`.
   */
  async start(
    command: string,
    args: readonly string[] = [],
    options: StartOptions = {},
  ): Promise<ServiceClient> {
    if (this.#stopping !== undefined) throw closedError('start')
    const { id = randomUUID() } = options
    if (this.#services.has(id)) throw new TypeError(`There is a service '${id}' already`)
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
   * Stops all services, the last one first, each when the one before has ended.
   *
   * `timeout` is for each (ms, 10,000; 0: no limit): one that takes longer is killed. A second call
   * gives the same promise.
   */
  stop(options: { timeout?: number | undefined } = {}): Promise<void> {
    this.#stopping ??= this.#stop(options)
    return this.#stopping
  }

  /** The same as `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(options: { timeout?: number | undefined }): Promise<void> {
    for (const starting of [...this.#services.values()].reverse()) {
      // One that could not be started was told of already.
      const client = await starting.catch(() => undefined)
      await client?.stop(options)
    }
  }
}
