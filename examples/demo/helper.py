"""Creates a memfd and a pipe, writes to both, and sends them to a fdwire server.

A jsoncomm message is one datagram with JSON and descriptors, so this needs no library.
"""

import json
import os
import socket
import sys

memfd = os.memfd_create("demo")
os.write(memfd, b"A Python program created this file, which exists only in memory.\n")

reading, writing = os.pipe()
os.write(writing, b"what the Python program wrote before it exited.\n")

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [json.dumps({"made": ["memfd", "pipe"]}).encode()], [memfd, reading])
