"""A msg_channel peer written from the description of its framing: `\\r\\nMSG <n>\\r\\n` + n bytes.

Reads one JSON request per line and writes one JSON reply per line. Both sides generate
a message from its size and compare hashes.
"""

import hashlib
import json
import socket
import sys

held = {}


def message(size):
    return bytes((i * 31 + (i >> 8)) % 251 for i in range(size))


def adopt(sock):
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    held["sock"] = sock
    held["file"] = sock.makefile("rb")


def op_listen(**_):
    held["listener"] = socket.create_server(("127.0.0.1", 0))
    return {"port": held["listener"].getsockname()[1]}


def op_accept(**_):
    adopt(held["listener"].accept()[0])
    return {}


def op_connect(port=None, path=None, **_):
    if path is None:
        adopt(socket.create_connection(("127.0.0.1", port)))
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        adopt(sock)
    return {"name": list(held["sock"].getsockname())}


def op_send(size, cut=None, **_):
    """Sends a message in writes of `cut` bytes (default: one write)."""
    body = message(size)
    frame = b"\r\nMSG %d\r\n" % len(body) + body
    step = cut or len(frame)
    for at in range(0, len(frame), step):
        held["sock"].sendall(frame[at : at + step])
    return {}


def op_raw(hex, **_):
    held["sock"].sendall(bytes.fromhex(hex))
    return {}


def op_recv(**_):
    file = held["file"]
    head = file.read(2)
    if head == b"":
        return {"eof": True}
    line = file.readline()
    kind, length = line[:-2].split(b" ")
    body = file.read(int(length))
    return {
        "head": (head + line).decode("latin-1"),
        "kind": kind.decode(),
        "whole": len(body) == int(length),
        "size": len(body),
        "sha": hashlib.sha256(body).hexdigest(),
    }


def op_close(**_):
    held["file"].close()
    held["sock"].close()
    return {}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()["op_" + request.pop("op")](**request)), flush=True)
