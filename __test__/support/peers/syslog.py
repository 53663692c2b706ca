"""The syslog of Python's standard library, on a Unix datagram socket.

Arguments: what to be, and the path of the socket.
  handler  logs each line of JSON from stdin (a level, a facility and a message) with SysLogHandler
  server   reports each datagram that arrives as a line of JSON
"""

import json
import logging
import socketserver
import sys
from logging.handlers import SysLogHandler

role, path = sys.argv[1:]


def report(**values):
    print(json.dumps(values), flush=True)


class Report(socketserver.BaseRequestHandler):
    def handle(self):
        data, _ = self.request
        report(data=data.decode())


if role == "server":
    with socketserver.UnixDatagramServer(path, Report) as server:
        server.max_packet_size = 65536
        report(ready=True)
        server.serve_forever()
else:
    for line in sys.stdin:
        call = json.loads(line)
        handler = SysLogHandler(path, facility=call["facility"])
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.log(getattr(logging, call["level"]), call["message"])
        handler.close()
        report(logged=True)
