export { type JournalFields, type JournalOptions, type JournalValue, journal } from './journal.js'
export { type ListenFdsOptions, listenFds, type PassedFd } from './listen-fds.js'
export {
  type BarrierOptions,
  barrier,
  mainPid,
  type NotifyFields,
  type NotifyOptions,
  notify,
  ready,
  reloading,
  removeFds,
  status,
  stopping,
  storeFds,
} from './notify.js'
export { type Watchdog, watchdog } from './watchdog.js'
