// A service in its own process, with the same methods as peers/jsoncomm_service.py and some more.
import { closeSync, openSync, readdirSync, readlinkSync, readSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { Service } from 'fdwire/jsoncomm'

const [, , directory] = process.argv
let made = 0

/** Creates a file with the given text and returns its descriptor. */
function file(text) {
  const fd = openSync(`${directory}/service-${process.pid}-${made++}`, 'w+')
  writeSync(fd, text)
  return fd
}

function contentsOf(fd) {
  const bytes = Buffer.alloc(256)
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
}

class ValueError extends Error {}

class TestService extends Service {
  async dispatch(method, args, fds) {
    switch (method) {
      case 'echo':
        return [args]
      case 'about': {
        const { id, args: argv } = this
        return [{ id, argv, stdin: readlinkSync('/proc/self/fd/0'), pid: process.pid }, []]
      }
      case 'read':
        return [[...fds].map(contentsOf), null]
      case 'swap':
        return [[...fds].map(contentsOf), args.map(file)]
      case 'file_handles':
        return [null, await Promise.all(args.map(() => open('/dev/null')))]
      case 'same_fds':
        return [null, fds]
      case 'lent_fds':
        return [null, [...fds]]
      case 'signals':
        for (const text of args) {
          const fd = file(text)
          await this.emitSignal({ text }, [fd])
          closeSync(fd)
        }
        this.emitSignal('last signal')
        return [args.length]
      case 'bad_fd': {
        const [good, bad] = [file('good'), file('bad')]
        closeSync(bad)
        return [null, [good, bad]]
      }
      case 'bad_signal': {
        const fd = file('bad')
        closeSync(fd)
        await this.emitSignal('never', [fd])
        return [null]
      }
      case 'boom':
        throw new ValueError('Remote Exception')
      case 'huge_boom':
        throw new ValueError('x'.repeat(20_000_000))
      case 'throw':
        throw args[0]
      case 'unserializable':
        return [10n, [file('good')]]
      case 'function':
        return [() => {}]
      case 'invalid_result':
        return args[0]
      case 'undefined':
        return [undefined]
      case 'invalid_fds':
        return [null, [file('good'), 'nonsense']]
      case 'steal':
        this.kept = fds.steal(0)
        return [null]
      case 'kept':
        return [contentsOf(this.kept), [this.kept]]
      case 'open_fds':
        return [readdirSync('/proc/self/fd').length]
      case 'signal_and_hang':
        this.emitSignal('ready')
        return new Promise(() => {})
      case 'exit':
        return process.exit(args[0])
      case 'slow_stop':
        this.slow = true
        return [null]
      default:
        return super.dispatch(method, args, fds)
    }
  }

  async stop() {
    // Only this timer keeps the process alive, like a cleanup that takes long.
    if (this.slow) setInterval(() => {}, 1_000)
    process.stdout.write(`${this.id} stopped\n`)
  }
}

await TestService.fromArgs(process.argv.slice(3)).main()
