"""Creates a memfd and a pipe, writes to both, and sends them to a fdwire server.

A jsoncomm message is one datagram of JSON, with descriptors beside it: this needs no library.
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
