"""An independent jsoncomm peer that uses only Python's json and socket modules.

Reads one JSON request per line and writes one JSON reply per line. Addresses and raw
datagrams are in hex.
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
    """Returns an address in hex. Python has str for a path, bytes for an abstract name, else None."""
    return None if addr is None else os.fsencode(addr).hex()


def memfd(text):
    fd = os.memfd_create("peer")
    os.write(fd, text.encode())
    return fd


def op_open(bind=None, connect=None, kind="SOCK_DGRAM", listen=False, **_):
    """Opens a socket. An empty `bind` autobinds: the kernel chooses the name."""
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
    """Accepts the next connection, which replaces the listening socket in later requests."""
    global sock
    held.append(sock)
    sock, _address = sock.accept()
    sock.settimeout(20)
    return {}


def op_send(value=None, raw=None, texts=(), to=None, **_):
    """Sends a value encoded by json.dumps, or raw bytes, with one memfd per element of `texts`."""
    data = json.dumps(value).encode() if raw is None else bytes.fromhex(raw)
    fds = [memfd(text) for text in texts]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        # Not socket.send_fds, which ignores its address argument in Python 3.11.
        args = [[data], rights, 0]
        return {"sent": sock.sendmsg(*args) if to is None else sock.sendmsg(*args, address(to))}
    except OSError as error:
        return {"error": error.errno}
    finally:
        for fd in fds:
            os.close(fd)


def op_recv(**_):
    """Receives one message: returns its value decoded by json.loads and the contents of its files."""
    data, fds, flags, addr = socket.recv_fds(sock, 1 << 20, 253)
    if not data and not fds:
        return {"end": True}
    texts = [os.pread(fd, 256, 0).decode() for fd in fds]
    for fd in fds:
        os.close(fd)
    cut = bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))
    return {"value": json.loads(data), "raw": data.hex(), "texts": texts, "cut": cut, "from": hex_of(addr)}


def op_give(kind, nonblocking=False, **_):
    """Creates a socket pair and sends one end, which also stays open in this process."""
    end, other = socket.socketpair(socket.AF_UNIX, getattr(socket, kind))
    end.setblocking(not nonblocking)
    held.extend([end, other])
    socket.send_fds(sock, [b'"given"'], [end.fileno()])
    return {}


def op_other(value=None, **_):
    """Sends and then receives a message on the retained end of the pair that `give` created."""
    other = held[-1]
    other.send(json.dumps(value).encode())
    return {"value": json.loads(other.recv(4096))}


def op_blocking(**_):
    """Returns O_NONBLOCK of the socket that `give` sent, read from this process's own descriptor."""
    return {"nonblocking": bool(fcntl.fcntl(held[-2].fileno(), fcntl.F_GETFL) & os.O_NONBLOCK)}


def op_lock(path, **_):
    """Locks a directory."""
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
