"""A monitor of QEMU as far as examples/qmp uses it: qmp.py PATH [fail]

It sends events between the replies, writes the state to the descriptor that came with getfd, and prints
each command with the number of its descriptors.
"""

import json
import os
import socket
import sys

STATE = b"the state of the machine"


class Monitor:
    def __init__(self, connection, fails):
        self.connection = connection
        self.fails = fails
        self.fds = {}

    def send(self, **message):
        self.connection.sendall(json.dumps(message).encode() + b"\r\n")

    def event(self, name, **data):
        self.send(event=name, data=data, timestamp={"seconds": 0, "microseconds": 0})

    def execute(self, command, arguments, fds):
        if command == "getfd":
            if not fds:
                raise ValueError("No file descriptor supplied via SCM_RIGHTS")
            self.fds[arguments["fdname"]] = fds.pop()
        elif command == "stop":
            self.event("STOP")
        elif command == "migrate":
            fd = self.fds.pop(arguments["uri"].removeprefix("fd:"))
            self.event("MIGRATION", status="setup")
            if not self.fails:
                os.write(fd, STATE)
            os.close(fd)

    def serve(self):
        self.send(QMP={"version": {"qemu": {"major": 0, "minor": 0, "micro": 0}}, "capabilities": ["oob"]})
        received = b""
        fds = []
        while True:
            data, more, _, _ = socket.recv_fds(self.connection, 65536, 16)
            if not data:
                return
            received += data
            fds += more
            while b"\n" in received:
                line, received = received.split(b"\n", 1)
                call = json.loads(line)
                print(json.dumps({"command": call["execute"], "fds": len(fds)}), flush=True)
                try:
                    self.execute(call["execute"], call.get("arguments", {}), fds)
                    self.send(**{"return": {}, "id": call["id"]})
                except (ValueError, KeyError) as error:
                    self.send(error={"class": "GenericError", "desc": str(error)}, id=call["id"])
                if call["execute"] == "migrate":
                    self.event("MIGRATION", status="failed" if self.fails else "completed")


with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen()
    print(json.dumps({"ready": True}), flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            Monitor(connection, sys.argv[2:] == ["fail"]).serve()
