"""An independent jsoncomm peer for large messages in a memfd. Uses only Python's json and socket.

Reads one JSON request per line and writes one JSON reply per line. Both sides generate
a text from its size.
"""

import array
import fcntl
import hashlib
import json
import os
import socket
import sys
import tempfile

MARKER = b"<args-via-fd>"
sock = None


def text(size):
    """Returns JSON of `size` bytes. It has no short repeating pattern, so misplaced bytes show."""
    line = "".join(chr(97 + i * i % 26) for i in range(4093))
    return json.dumps((line * (size // len(line) + 1))[: size - 2]).encode()


def file_with(word):
    fd = os.memfd_create("peer")
    os.write(fd, word.encode())
    return fd


def send(data, fds):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([data], rights)
    finally:
        for fd in fds:
            os.close(fd)


def op_open(path, kind, **_):
    global sock
    sock = socket.socket(socket.AF_UNIX, getattr(socket, kind))
    sock.bind("")
    sock.connect(path.replace("@", "\0"))
    sock.settimeout(20)
    return {}


def op_send(size, words=(), in_memfd=False, **_):
    """Sends like the current original: in a rewound, unsealed memfd if `in_memfd`, else inline."""
    fds = [file_with(word) for word in words]
    data = text(size)
    if in_memfd:
        fd = os.memfd_create("jsoncomm/payload")
        while data:
            data = data[os.write(fd, data) :]
        os.lseek(fd, 0, os.SEEK_SET)
        fds.insert(0, fd)
        data = MARKER
    send(data, fds)
    return {}


def op_recv(**_):
    """Receives like the current original: reads the first descriptor from its offset, or the message."""
    data, fds, flags, _ = socket.recv_fds(sock, 1 << 22, 253)
    answer = {"in_memfd": data == MARKER, "cut": bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))}
    if data == MARKER:
        fd = fds.pop(0)
        answer["seals"] = fcntl.fcntl(fd, 1034)  # F_GET_SEALS
        answer["name"] = os.readlink("/proc/self/fd/%d" % fd)
        with os.fdopen(fd, "rb") as file:
            data = file.read()
    answer["size"] = len(data)
    answer["sha"] = hashlib.sha256(data).hexdigest()
    answer["words"] = [os.pread(fd, 256, 0).decode() for fd in fds]
    for fd in fds:
        os.close(fd)
    return answer


def invalid_payload(kind):
    """Returns a descriptor that is not a valid payload memfd."""
    if kind == "a pipe":
        reader, writer = os.pipe()
        os.write(writer, b'"in a pipe"')
        os.close(writer)
        return reader
    if kind == "a disk file":
        file = tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(__file__)))
        file.write(b'"on a disk"')
        file.flush()
        return os.dup(file.fileno())
    if kind == "a socket":
        return os.dup(sock.fileno())
    if kind == "a directory":
        return os.open("/", os.O_RDONLY)
    fd = os.memfd_create("peer")
    if kind == "a memfd positioned at its end":
        os.write(fd, b'"before the offset"')
    elif kind == "a write-only memfd":
        os.write(fd, b'"secret"')
        only = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY)
        os.close(fd)
        return only
    elif kind == "a memfd of 1 TiB":
        os.ftruncate(fd, 1 << 40)
    elif kind == "a memfd with invalid JSON":
        os.pwrite(fd, b"{nonsense", 0)
    elif kind == "a memfd with invalid UTF-8":
        os.pwrite(fd, b'"\xff"', 0)
    return fd


def op_invalid(kind, words=(), **_):
    fds = [] if kind == "nothing" else [invalid_payload(kind)]
    send(MARKER, fds + [file_with(word) for word in words])
    return {}


def op_send_from_offset(**_):
    """Sends a memfd whose offset is past a prefix that does not belong to the message."""
    fd = os.memfd_create("peer")
    os.write(fd, b"not this")
    os.pwrite(fd, b'"but this"', 8)
    send(MARKER, [os.dup(fd)])
    where = os.lseek(fd, 0, os.SEEK_CUR)
    os.close(fd)
    return {"offset": where}


def op_fds(**_):
    return {"open": len(os.listdir("/proc/self/fd"))}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()["op_" + request.pop("op")](**request)), flush=True)
