// Answers each delimited message of Protocol Buffers on stdin with one on stdout, with protobufjs.
import protobuf from 'protobufjs'

const { root } = protobuf.parse(process.argv[2])
const Message = root.lookupType('Message')
let rest = Buffer.alloc(0)
for await (const chunk of process.stdin) {
  rest = Buffer.concat([rest, chunk])
  const reader = protobuf.Reader.create(rest)
  let consumed = 0
  try {
    for (; consumed < rest.length; consumed = reader.pos) {
      const { id, text, data } = Message.decodeDelimited(reader)
      process.stdout.write(
        Message.encodeDelimited({ id: id + 1, text: text.repeat(2), data }).finish(),
      )
    }
  } catch (error) {
    // The last message is incomplete.
    if (!(error instanceof RangeError)) throw error
  }
  rest = rest.subarray(consumed)
}
