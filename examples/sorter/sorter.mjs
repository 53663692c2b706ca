// The service. main.mjs starts it with one end of a socketpair as an inherited descriptor.
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Service } from 'fdwire/jsoncomm'

class Sorter extends Service {
  async dispatch(method, args, fds) {
    if (method !== 'sort') return super.dispatch(method, args, fds)
    if (fds.length !== 1) throw new RangeError(`Expected one file to sort, not ${fds.length}`)
    const lines = (await text(fds.toReadStream(0))).trimEnd().split('\n')
    await this.emitSignal({ percent: 50 })
    const sorted = await this.#write(`${lines.sort().join('\n')}\n`)
    await this.emitSignal({ percent: 100 })
    // The service closes the file after it has sent the reply.
    return [{ lines: lines.length }, [sorted]]
  }

  async #write(content) {
    const directory = mkdtempSync(join(tmpdir(), 'sorted-'))
    try {
      const file = await open(join(directory, 'file'), 'wx+')
      await file.writeFile(content)
      return file
    } finally {
      rmSync(directory, { recursive: true })
    }
  }
}

await Sorter.fromArgs().main()
