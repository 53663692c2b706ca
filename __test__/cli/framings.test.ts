import { describe, expect, it } from 'vitest'
import { newShell } from './shell.js'

/** Sends `hi` with the options, and returns what a listener without framing receives. */
async function sentWith(options: string): Promise<unknown> {
  const { stdout, stderr } = await newShell().run(
    `fdwire listen a.sock -p raw -t stream --once --json &
     fdwire send a.sock hi --wait 9000 ${options}`,
  )
  const events = stdout
    .trim()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
  const { value } = events.find(event => 'value' in event) ?? { value: stderr }
  return value
}

describe('the options of a framing', () => {
  it.each([
    ['-p lines', 'hi\n'],
    ["-p lines --delimiter '\\r\\n'", 'hi\r\n'],
    ["-p lines --delimiter '\\x7c::\\\\'", 'hi|::\\'],
    ["-p lines --delimiter '\\0'", 'hi\0'],
    ['-p length_prefixed --length-bytes 2', '\0\x02hi'],
    ['-p length_prefixed --little-endian', '\x02\0\0\0hi'],
    ['-p length_prefixed --length-bytes 1 --length-adjustment=-1', '\x03hi'],
    ['-p netstring', '2:hi,'],
    ['-p varint', '\x02hi'],
    ['-p content_length -e json', 'Content-Length: 4\r\n\r\n"hi"'],
  ])('decide which bytes are sent: %s', async (options, text) => {
    expect(await sentWith(options)).toEqual({ text })
  })

  it.each([
    ["-p lines --delimiter '\\q'", /unknown escape sequence '\\q'/],
    ["-p lines --delimiter ''", /delimiter must have 1 to 16 bytes, not 0/],
    ['-p netstring --length-bytes 2', /only length_prefixed has it, and this is netstring/],
    ['-p length_prefixed --length-bytes 5', /lengthBytes must be 1, 2, 3, 4 or 8, not 5/],
    ['-p length_prefixed --length-adjustment x', /--length-adjustment must be an integer, not 'x'/],
  ])('are refused if they are wrong: %s', async (options, message) => {
    const { stderr, code } = await newShell().run(`fdwire listen a.sock ${options}`)
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
  })
})
