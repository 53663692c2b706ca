"""An independent uds_comms peer that uses only Python's socket and base64 modules.

Reads one JSON request per line and writes one JSON reply per line. Raw bytes are in hex. It acts
as the server or the client, and can violate the protocol on purpose.
"""

import base64
import json
import os
import signal
import socket
import sys

listener = None
sock = None
rest = b""


def encode(text):
    return b"%" + base64.b64encode(text.encode()) + b"$"


def receive():
    """Returns the next text, or None at end of stream. Reads in small chunks, as the original does."""
    global rest
    while b"$" not in rest:
        chunk = sock.recv(256 if len(rest) < 4096 else 65536)
        if not chunk:
            return None
        rest += chunk
    frame, rest = rest.split(b"$", 1)
    if frame[:1] != b"%":
        raise ValueError(f"invalid frame: {frame[:20]!r}")
    return base64.b64decode(frame[1:], validate=True).decode()


def op_listen(path, **_):
    global listener
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    return {}


def op_accept(**_):
    """Accepts a client without a handshake."""
    global sock, rest
    listener.settimeout(20)
    sock, _peer = listener.accept()
    sock.settimeout(20)
    rest = b""
    return {}


def op_wait(**_):
    op_accept()
    while True:
        text = receive()
        if text is None:
            return {"error": "the client closed the connection"}
        if text == "READY":
            sock.sendall(encode("OK"))
            return {}


def op_open(path, **_):
    """Connects without a handshake."""
    global sock, rest
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(path)
    rest = b""
    return {}


def op_connect(path, **_):
    op_open(path)
    sock.sendall(encode("READY"))
    return {} if receive() == "OK" else {"error": "handshake failed"}


def op_send(texts=(), raw=None, split=0, **_):
    """Sends `texts` or raw bytes, in one call or in pieces of `split` bytes."""
    data = b"".join(map(encode, texts)) if raw is None else bytes.fromhex(raw)
    try:
        if split == 0:
            sock.sendall(data)
        else:
            for at in range(0, len(data), split):
                sock.sendall(data[at : at + split])
    except OSError as error:
        return {"error": str(error)}
    return {}


def op_receive(count=1, **_):
    return {"texts": [receive() for _ in range(count)]}


def op_echo(count, **_):
    for _ in range(count):
        sock.sendall(encode(receive()))
    return {}


def op_raw(**_):
    """Receives raw bytes with one call of recv."""
    return {"raw": sock.recv(65536).hex()}


def op_close(**_):
    sock.close()
    return {}


def op_kill(**_):
    os.kill(os.getpid(), signal.SIGKILL)


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = globals()["op_" + request.pop("op")](**request)
    except (OSError, ValueError) as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
