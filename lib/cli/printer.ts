import type { WriteStream } from 'node:tty'

const STYLES = { dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const

/** A style of text on a terminal. */
export type Style = keyof typeof STYLES

/**
 * Prints the output of a command: text for people, or one JSON object per line with `--json`.
 *
 * Colours appear only on a terminal, and not if NO_COLOR is set (https://no-color.org).
 */
export class Printer {
  readonly isJson: boolean
  readonly #hasColours: boolean

  constructor(isJson: boolean) {
    this.isJson = isJson
    this.#hasColours = !isJson && process.stdout.isTTY === true && !process.env.NO_COLOR
  }

  /** Prints an event: `event` with `--json`, else the lines of text. */
  print(event: object, ...lines: readonly string[]): void {
    if (this.isJson) process.stdout.write(`${JSON.stringify(event)}\n`)
    else for (const line of lines) process.stdout.write(`${line}\n`)
  }

  /** Returns a text in a style. */
  style(style: Style, text: string): string {
    return this.#hasColours ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text
  }

  /** Prints a remark to stderr, which is not part of the output. */
  remark(text: string): void {
    process.stderr.write(`${text}\n`)
  }
}

/** Reports the rate of a long operation on stderr once per second, if that is a terminal. */
export class Progress {
  #count = 0
  #lastCount = 0
  #lastTime = Date.now()
  readonly #unit: string
  readonly #stderr: WriteStream | undefined

  constructor(unit: string) {
    this.#unit = unit
    if (process.stderr.isTTY === true) this.#stderr = process.stderr
  }

  /** Counts some more. */
  add(count = 1): void {
    this.#count += count
    if (this.#stderr === undefined) return
    const time = Date.now()
    const elapsed = time - this.#lastTime
    if (elapsed < 1_000) return
    const rate = Math.round(((this.#count - this.#lastCount) * 1_000) / elapsed)
    this.#stderr.write(`\r${this.#count} ${this.#unit}, ${rate} per second\x1b[K`)
    this.#lastCount = this.#count
    this.#lastTime = time
  }

  /** Ends the line of the terminal. */
  end(): void {
    if (this.#lastCount > 0) this.#stderr?.write('\n')
  }
}
