"""A peer that runs the original `stockings` package.

Reads one JSON request per line and writes one JSON reply per line. Both sides generate
a message from its kind and size and compare hashes.
"""

import hashlib
import json
import select
import socket
import sys
import time

from Stockings import NotReady, Stocking

DEADLINE = 20
held = {}


def message(kind, size):
    data = bytes((i * 31 + (i >> 8)) % 251 for i in range(size))
    return data if kind == "bytes" else data.translate(bytes(32 + i % 95 for i in range(256))).decode()


def digest(kind, data):
    raw = data if kind == "bytes" else data.encode()
    return {"kind": kind, "size": len(raw), "sha": hashlib.sha256(raw).hexdigest()}


class Greeting(Stocking):
    """Exchanges ids in its handshake."""

    def __init__(self, sock, own, accepts=None):
        self.own = own
        self.accepts = accepts
        self.remote = None
        Stocking.__init__(self, sock)

    def handshake(self):
        self._write(self.own)
        while self.remote is None:
            self.remote = self._read()
            time.sleep(0.001)
        return self.accepts is None or self.remote == self.accepts


def wrap(sock, id, accepts):
    held["sock"] = sock
    held["stocking"] = Stocking(sock) if id is None else Greeting(sock, id, accepts)


def op_listen(**_):
    held["listener"] = socket.create_server(("127.0.0.1", 0))
    return {"port": held["listener"].getsockname()[1]}


def op_accept(id=None, accepts=None, **_):
    wrap(held["listener"].accept()[0], id, accepts)
    return {}


def op_connect(port=None, path=None, id=None, accepts=None, **_):
    if path is None:
        sock = socket.create_connection(("127.0.0.1", port))
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
    wrap(sock, id, accepts)
    return {}


def op_ready(**_):
    """Waits until the handshake has completed or failed."""
    end = time.monotonic() + DEADLINE
    stocking = held["stocking"]
    while time.monotonic() < end and stocking.active and not stocking.handshakeComplete:
        time.sleep(0.001)
    remote = getattr(stocking, "remote", None)
    return {"complete": bool(stocking.handshakeComplete), "active": bool(stocking.active), "remote": remote}


def op_write(kind, size=None, text=None, **_):
    held["stocking"].write(message(kind, size) if text is None else text)
    return {}


def op_read(**_):
    stocking = held["stocking"]
    poll = select.poll()
    poll.register(stocking.fileno(), select.POLLIN)
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            value = stocking.read()
        except EOFError:
            return {"eof": True}
        except NotReady:
            return {"notReady": True}
        if value is not None:
            return digest("bytes" if isinstance(value, bytes) else "text", value)
        poll.poll(100)
    return {"nothing": True}


def op_close(**_):
    held["stocking"].close()
    return {}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()["op_" + request.pop("op")](**request)), flush=True)
