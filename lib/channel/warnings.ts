/** Warns that a channel has stopped reading at its limit of open descriptors. */
export function warnFdsHeld(): void {
  process.emitWarning(
    'A channel has stopped reading: its open received descriptors have reached maxOpenFds',
    {
      type: 'FdwireWarning',
      code: 'FDWIRE_MAX_OPEN_FDS',
      detail: 'Close the FdSet of each message, or take() what you keep. Each channel warns once.',
    },
  )
}
