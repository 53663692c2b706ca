"""A native messaging host as Chrome starts it: each message follows its length in 32 bits, native-endian.

https://developer.chrome.com/docs/extensions/develop/concepts/native-messaging
"""
import json
import struct
import sys

while True:
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        break
    (length,) = struct.unpack("@I", header)
    message = json.loads(sys.stdin.buffer.read(length))
    reply = json.dumps({"echo": message, "bytes": length}).encode()
    sys.stdout.buffer.write(struct.pack("@I", len(reply)) + reply)
    sys.stdout.buffer.flush()
