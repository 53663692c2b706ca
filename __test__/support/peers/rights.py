"""A peer that sends and receives descriptors with only Python's socket module.

Reads one JSON request per line and writes one JSON reply per line. Descriptor 3 is a
socket of the type that the first argument names. On a stream, the length of a message precedes it in
four bytes, big-endian.
"""

import array
import json
import os
import socket
import sys

kind = sys.argv[1]
sock = socket.socket(fileno=3)
sock.settimeout(20)
held = []


def memfd(text):
    fd = os.memfd_create("peer")
    os.write(fd, text.encode())
    return fd


def describe(fd):
    """Returns the inode and the contents of a file."""
    return {"ino": os.fstat(fd).st_ino, "text": os.pread(fd, 256, 0).decode()}


def frame(data):
    return len(data).to_bytes(4, "big") + data if kind == "stream" else data


def receive(count):
    """Receives one message with socket.recv_fds; a stream may need several calls."""
    if kind != "stream":
        data, fds, flags, _ = socket.recv_fds(sock, 1 << 20, count)
        return data, fds, flags
    data, fds, flags, size = b"", [], 0, 4
    while len(data) < size:
        more, some, now, _ = socket.recv_fds(sock, size - len(data), count)
        if not more:
            break
        data, fds, flags = data + more, fds + list(some), flags | now
        if len(data) == 4 and size == 4:
            size += int.from_bytes(data, "big")
    return data[4:], fds, flags


def op_send(value=None, raw=None, texts=(), pieces=1, **_):
    """Sends a message with socket.send_fds, in `pieces` calls; the first carries the descriptors."""
    data = frame(json.dumps(value).encode() if raw is None else bytes.fromhex(raw))
    fds = [memfd(text) for text in texts]
    inos = [os.fstat(fd).st_ino for fd in fds]
    try:
        step = -(-len(data) // pieces)
        for at in range(0, max(len(data), 1), max(step, 1)):
            socket.send_fds(sock, [data[at : at + step]], fds if at == 0 else [])
        return {"inos": inos}
    except OSError as error:
        return {"error": error.errno}
    finally:
        for fd in fds:
            os.close(fd)


def op_recv(count=253, keep=False, **_):
    """Receives one message. Describes and closes its descriptors, or with `keep` leaves them open."""
    data, fds, flags = receive(count)
    files = [] if keep else [describe(fd) for fd in fds]
    if keep:
        held.extend(fds)
    else:
        for fd in fds:
            os.close(fd)
    cut = bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))
    value = json.loads(data) if data else None
    return {"value": value, "files": files, "fds": len(fds), "cut": cut}


def op_recvmsg(size, space=0, **_):
    """Calls recvmsg once, with room for `size` bytes and `space` descriptors."""
    data, control, flags, _ = sock.recvmsg(size, socket.CMSG_SPACE(4 * space) if space else 0)
    fds = array.array("i")
    for level, what, payload in control:
        if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    for fd in fds:
        os.close(fd)
    return {"bytes": len(data), "fds": len(fds), "cut": bool(flags & socket.MSG_CTRUNC)}


def op_open(**_):
    """Counts the open descriptors of this process."""
    return {"open": len(os.listdir("/proc/self/fd")) - 1}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()["op_" + request["op"]](**request)), flush=True)
