/** HTTP clients that report every failed request and every lost connection. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const AUTOCANNON = fileURLToPath(
  new URL('../../node_modules/autocannon/autocannon.js', import.meta.url),
)

/** The counts of one autocannon run. */
export interface LoadResult {
  sent: number
  succeeded: number
  /** Failed or reset connections, timeouts and responses with a status other than 2xx. */
  failed: number
}

/**
 * Makes `amount` requests over `connections` keep-alive connections with autocannon.
 *
 * The counts are exact: a request whose connection closes without a response counts as sent and not
 * as succeeded. autocannon is a devDependency, so `npm install` is all that the test needs.
 */
export async function runLoad(
  url: string,
  amount: number,
  connections: number,
): Promise<LoadResult> {
  const args = ['--json', '-L', '50', '-t', '20', '-B', '10']
  args.push('-a', String(amount), '-c', String(connections), url)
  const child = spawn(process.execPath, [AUTOCANNON, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const output = await text(child.stdout)
  await ended
  const { errors, timeouts, non2xx, resets, requests, '2xx': succeeded } = JSON.parse(output)
  return { sent: requests.sent, succeeded, failed: errors + timeouts + non2xx + resets }
}

/** Makes one request over a new connection and returns the body of the response. */
export function get(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port, path, agent: false }, response => {
        text(response).then(body => {
          if (response.statusCode === 200) resolve(body.trim())
          else reject(new Error(`${response.statusCode}: ${body}`))
        }, reject)
      })
      .on('error', reject)
  })
}

/** A keep-alive connection that must survive a change of the process that serves it. */
export class KeepAliveClient {
  readonly #socket: net.Socket
  #received = ''
  #lost: Error | undefined
  #wake = () => {}

  private constructor(socket: net.Socket) {
    this.#socket = socket.setEncoding('latin1')
    socket.on('data', chunk => {
      this.#received += chunk
      this.#wake()
    })
    const lose = (why: string) => {
      this.#lost ??= new Error(`Connection lost: ${why}`)
      this.#wake()
    }
    socket.on('error', error => lose(error.message))
    socket.on('end', () => lose('closed by the server'))
  }

  static async connect(port: number): Promise<KeepAliveClient> {
    const client = new KeepAliveClient(net.connect(port, '127.0.0.1'))
    await once(client.#socket, 'connect')
    return client
  }

  /** The error that closed the connection, or undefined while it is open. */
  get failure(): Error | undefined {
    return this.#lost
  }

  write(bytes: string): void {
    this.#socket.write(bytes)
  }

  /** Makes a request and returns the body of its response. */
  get(path = '/'): Promise<string> {
    this.write(requestBytes(path))
    return this.response()
  }

  /** Returns the body of the next response. */
  async response(): Promise<string> {
    for (;;) {
      const body = this.#received.indexOf('\r\n\r\n') + 4
      if (body >= 4) {
        const head = this.#received.slice(0, body)
        if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(head)
        const end = body + Number(/\r\nContent-Length: (\d+)\r\n/.exec(head)?.[1])
        if (this.#received.length >= end) {
          const answer = this.#received.slice(body, end)
          this.#received = this.#received.slice(end)
          return answer.trim()
        }
      }
      if (this.#lost !== undefined) throw this.#lost
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** Returns the bytes of a GET request. */
export const requestBytes = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
