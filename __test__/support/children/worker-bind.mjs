// A worker thread that binds a path and then ends in the way the test requests.
import { parentPort, workerData } from 'node:worker_threads'
import { bind } from 'fdwire'

const channel = await bind(workerData.path, { protocol: 'jsoncomm' })
channel.on('message', () => {})
parentPort.once('message', how => {
  if (how === 'exit') process.exit()
  channel.unref()
})
parentPort.postMessage('bound')
