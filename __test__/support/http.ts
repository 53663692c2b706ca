/** Clients of an HTTP server that notice whatever goes wrong. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const AUTOCANNON = fileURLToPath(
  new URL('../../node_modules/autocannon/autocannon.js', import.meta.url),
)

/** What a run of autocannon has counted. */
export interface Load {
  sent: number
  succeeded: number
  /** Connections that failed or were reset, timeouts, answers of another status. */
  failed: number
}

/**
 * Has autocannon make `amount` requests over `connections` kept-alive connections.
 *
 * It is exact: a request whose connection was closed without an answer is sent and not succeeded.
 * It is a devDependency, so that the test needs nothing that `npm install` doesn't bring.
 */
export async function load(url: string, amount: number, connections: number): Promise<Load> {
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

/** Makes one request over a connection of its own, and gives the answer's text. */
export function ask(port: number, path = '/'): Promise<string> {
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

/** A connection that must stay, whoever is at its other end. */
export class Client {
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
      this.#lost ??= new Error(`A connection was lost: ${why}`)
      this.#wake()
    }
    socket.on('error', error => lose(error.message))
    socket.on('end', () => lose('the server has closed it'))
  }

  static async connect(port: number): Promise<Client> {
    const client = new Client(net.connect(port, '127.0.0.1'))
    await once(client.#socket, 'connect')
    return client
  }

  /** Whether the server has closed it. */
  get lost(): Error | undefined {
    return this.#lost
  }

  write(bytes: string): void {
    this.#socket.write(bytes)
  }

  /** Makes a request and waits for its answer. */
  ask(path = '/'): Promise<string> {
    this.write(request(path))
    return this.answer()
  }

  /** The text of the next answer. */
  async answer(): Promise<string> {
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

/** The bytes of a request. */
export const request = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
