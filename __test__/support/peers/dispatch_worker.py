"""A worker of a dispatcher that uses only Python's standard library.

Descriptor 3 is a seqpacket socket. Each connection gets an HTTP response with the bytes of its request,
its head and its meta.
"""

import base64
import json
import socket

channel = socket.socket(fileno=3)
channel.sendmsg([json.dumps({"window": 16}).encode()])
print("{}", flush=True)


def serve(connection, details):
    details = details or {}
    head = base64.b64decode(details.get("head", ""))
    request = head
    while b"\r\n\r\n" not in request:
        chunk = connection.recv(65536)
        if not chunk:
            return
        request += chunk
    line = request.split(b"\r\n")[0].decode()
    body = json.dumps({"request": line, "head": len(head), "meta": details.get("meta")}).encode()
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )


while True:
    data, fds, flags, _ = socket.recv_fds(channel, 1 << 20, 253)
    if not data:
        break
    connections = json.loads(data)["connections"]
    assert len(connections) == len(fds) and not flags & socket.MSG_CTRUNC
    for fd, details in zip(fds, connections):
        with socket.socket(fileno=fd) as connection:
            serve(connection, details)
    channel.sendmsg([json.dumps({"taken": 1, "closed": len(fds)}).encode()])
