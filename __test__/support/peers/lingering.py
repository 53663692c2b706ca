"""Sends a message with TCP sockets whose close(2) waits for an hour, over the socket that is descriptor 3.

The first argument is the message in hex, the second the number of sockets. For each line on stdin it
reads the other ends of the sockets until they end, and prints `true`.
"""

import array
import socket
import struct
import sys

message, count = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
channel = socket.socket(fileno=3)
listener = socket.create_server(("127.0.0.1", 0))
pairs = []
for _ in range(count):
    client = socket.create_connection(listener.getsockname())
    pairs.append((client, listener.accept()[0]))
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        pass
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
rights = array.array("i", [client.fileno() for client, _ in pairs])
channel.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
for client, _ in pairs:
    client.close()
print("true", flush=True)
for _ in sys.stdin:
    for _, server in pairs:
        while server.recv(1 << 20):
            pass
    print("true", flush=True)
