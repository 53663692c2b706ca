"""Makes a memfd and a pipe, writes into both, and sends them to a fdwire server.

jsoncomm is one JSON text a datagram, with the descriptors beside it: no library is needed.
"""

import json
import os
import socket
import sys

memfd = os.memfd_create("demo")
os.write(memfd, b"I live in memory only. A Python program made me.\n")

reading, writing = os.pipe()
os.write(writing, b"whatever Python poured in before it ended.\n")

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [json.dumps({"made": ["memfd", "pipe"]}).encode()], [memfd, reading])
