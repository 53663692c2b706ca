"""A service manager for the tests: receives notifications, and reports each as a line of JSON.

Arguments: the address (@ begins an abstract name) and how it handles them:
  report   closes the descriptors of each at once
  hold     keeps the descriptors of BARRIER=1 until a line arrives on stdin
  stop     receives nothing until a line arrives on stdin
"""

import array
import json
import os
import socket
import stat
import struct
import sys

SO_PASSCRED = 16
SCM_CREDENTIALS = 2


def report(**values):
    print(json.dumps(values), flush=True)


def kind_of(fd):
    mode = os.fstat(fd).st_mode
    for name in ("FIFO", "SOCK", "REG", "CHR"):
        if getattr(stat, f"S_IS{name}")(mode):
            return name.lower()
    return "other"


def receive(server):
    data, ancillary, flags, sender = server.recvmsg(65536, socket.CMSG_SPACE(253 * 4) + 64)
    fds = array.array("i")
    credentials = None
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        elif level == socket.SOL_SOCKET and kind == SCM_CREDENTIALS:
            credentials = struct.unpack("3i", content[:12])
    return data, list(fds), flags, sender, credentials


def main():
    name, mode = sys.argv[1:]
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
    server.bind("\0" + name[1:] if name.startswith("@") else name)
    report(ready=True)
    if mode == "stop":
        sys.stdin.readline()
    while True:
        data, fds, flags, sender, credentials = receive(server)
        report(
            state=data.decode(),
            kinds=[kind_of(fd) for fd in fds],
            pid=credentials[0],
            named=bool(sender),
            truncated=bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)),
        )
        if mode == "hold" and data == b"BARRIER=1":
            sys.stdin.readline()
        for fd in fds:
            os.close(fd)


main()
