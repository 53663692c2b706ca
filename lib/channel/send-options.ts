import { checkIsObject, checkNames, only } from '../util/checks.js'
import type { SendOptions } from './events.js'

const COMMON = ['to', 'allowRelative']
const hasSendOption = only(['fds', ...COMMON])
const hasRequestOption = only(['timeout', 'signal', 'match', 'fds', ...COMMON])
const hasSendAllOption = only(COMMON)

/** The `hint` of `checkNames`, by call. */
const HINTS: Readonly<Record<string, (name: string) => string | undefined>> = {
  send: hasSendOption,
  request: hasRequestOption,
  sendAll: name =>
    name === 'fds' ? 'use send for a message with descriptors' : hasSendAllOption(name),
}

/** Checks the names of the options of `send`, `request` or `sendAll`. */
export function checkSendOptions(call: string, options: SendOptions): void {
  checkIsObject(call, options)
  checkNames(call, options, HINTS[call] ?? hasSendOption)
}
