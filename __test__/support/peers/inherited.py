"""Receives one message on descriptor 3, with room for one descriptor only, and prints what came."""
import array
import json
import os
import socket
import sys

sock = socket.socket(fileno=3)
room = socket.CMSG_SPACE(array.array("i").itemsize)
print(json.dumps({"passcred": sock.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)}), flush=True)
sys.stdin.readline()
data, control, flags, _ = sock.recvmsg(4096, room)
fds = array.array("i")
for level, kind, payload in control:
    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
        fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
print(
    json.dumps(
        {
            "data": data.decode(),
            "complete": flags & socket.MSG_CTRUNC == 0,
            "contents": [os.pread(fd, 100, 0).decode() for fd in fds],
        }
    ),
    flush=True,
)
