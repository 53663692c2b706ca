"""An independent peer: jsoncomm by nothing but Python's own json and socket.

Reads a request a line and answers it with a line. Addresses and raw datagrams are in hex.
"""

import array
import fcntl
import json
import os
import socket
import sys

sock = None
held = []


def address(text):
    return None if text is None else bytes.fromhex(text)


def hex_of(addr):
    """Python gives a path as str, an abstract name as bytes, and None for no name."""
    return None if addr is None else os.fsencode(addr).hex()


def memfd(text):
    fd = os.memfd_create("peer")
    os.write(fd, text.encode())
    return fd


def op_open(bind=None, connect=None, kind="SOCK_DGRAM", listen=False, **_):
    """A socket: `bind` is a name, empty for the kernel's choice."""
    global sock
    sock = socket.socket(socket.AF_UNIX, getattr(socket, kind))
    sock.settimeout(20)
    if bind is not None:
        sock.bind(address(bind))
    if connect is not None:
        sock.connect(address(connect))
    if listen:
        sock.listen()
    return {"name": hex_of(sock.getsockname() or None)}


def op_accept(**_):
    """The next connection, which is the socket from then on."""
    global sock
    held.append(sock)
    sock, _address = sock.accept()
    sock.settimeout(20)
    return {}


def op_send(value=None, raw=None, texts=(), to=None, **_):
    """A value by json.dumps, or raw bytes, with a memfd for each of `texts`."""
    data = json.dumps(value).encode() if raw is None else bytes.fromhex(raw)
    fds = [memfd(text) for text in texts]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        # socket.send_fds of Python 3.11 ignores its address.
        args = [[data], rights, 0]
        return {"sent": sock.sendmsg(*args) if to is None else sock.sendmsg(*args, address(to))}
    except OSError as error:
        return {"error": error.errno}
    finally:
        for fd in fds:
            os.close(fd)


def op_recv(**_):
    """One message: its value as json.loads has it, and what its descriptors' files hold."""
    data, fds, flags, addr = socket.recv_fds(sock, 1 << 20, 253)
    if not data and not fds:
        return {"end": True}
    texts = [os.pread(fd, 256, 0).decode() for fd in fds]
    for fd in fds:
        os.close(fd)
    cut = bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))
    return {"value": json.loads(data), "raw": data.hex(), "texts": texts, "cut": cut, "from": hex_of(addr)}


def op_give(kind, nonblocking=False, **_):
    """Sends one end of a pair of sockets, which stays open here too."""
    end, other = socket.socketpair(socket.AF_UNIX, getattr(socket, kind))
    end.setblocking(not nonblocking)
    held.extend([end, other])
    socket.send_fds(sock, [b'"given"'], [end.fileno()])
    return {}


def op_other(value=None, **_):
    """Sends from, and then receives at, the other end of the pair that was given."""
    other = held[-1]
    other.send(json.dumps(value).encode())
    return {"value": json.loads(other.recv(4096))}


def op_blocking(**_):
    """Whether the description that was given still blocks, as its giver sees it."""
    return {"nonblocking": bool(fcntl.fcntl(held[-2].fileno(), fcntl.F_GETFL) & os.O_NONBLOCK)}


def op_lock(path, **_):
    """Takes the lock on a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    held.append(fd)
    return {}


def op_unlock(**_):
    os.close(held.pop())
    return {}


def op_close(**_):
    sock.close()
    return {}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()["op_" + request["op"]](**request)), flush=True)
