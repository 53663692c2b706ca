"""A journal for the tests: receives entries of the native protocol, and reports each as JSON.

Argument: the address (@ begins an abstract name). Values are reported as lists of latin-1 strings.
"""

import array
import fcntl
import json
import mmap
import os
import socket
import struct
import sys

F_GET_SEALS = 1034
# F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE, which systemd-journald requires.
SEALED = 0x000F


def parse(data):
    fields = []
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name = line
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n", "a value ends with a line break"
            rest = rest[1:]
        fields.append((name.decode(), value))
        data = rest
    return fields


def contents(fd):
    seals = fcntl.fcntl(fd, F_GET_SEALS)
    with mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        return bytes(mapped), seals & SEALED == SEALED


def main():
    (name,) = sys.argv[1:]
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind("\0" + name[1:] if name.startswith("@") else name)
    print(json.dumps("ready"), flush=True)
    while True:
        data, ancillary, flags, _ = server.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 4))
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        sealed = None
        if fds:
            assert data == b"" and len(fds) == 1
            data, sealed = contents(fds[0])
            os.close(fds[0])
        fields = {}
        for key, value in parse(data):
            fields.setdefault(key, []).append(value.decode("latin-1"))
        print(json.dumps({"fields": fields, "sealed": sealed}), flush=True)


main()
