/**
 * Reads from a received pipe whose sender makes it blocking and then writes as much as one read of
 * libuv takes. Prints a line when the event loop has turned after that.
 *
 * `blocking-pipe.mjs FIFO`
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { pair } from 'fdwire'

const READ = 64 * 1024
const CODE = `import fcntl, os
fcntl.fcntl(3, fcntl.F_SETFL, fcntl.fcntl(3, fcntl.F_GETFL) & ~os.O_NONBLOCK)
os.write(3, b"x" * ${READ})`

const fd = openSync(process.argv[2], 'r+')
const [sender, receiver] = pair({ protocol: 'jsoncomm' })
const message = receiver.receive()
sender.send({}, { fds: [fd] })
const { fds } = await message
const stream = fds.toReadStream(0)
let received = 0
stream.on('data', chunk => {
  received += chunk.length
  if (received < READ) return
  setTimeout(() => {
    console.log('still turning')
    stream.destroy()
    sender.destroy()
    receiver.destroy()
    closeSync(fd)
  })
})
// Its descriptor 3 is the open file description that it has sent.
spawn('python3', ['-c', CODE], { stdio: ['ignore', 'inherit', 'inherit', fd] })
