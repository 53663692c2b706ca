"""A service and a client of varlink, with the package of the varlink project.

varlink_peer.py service ADDRESS    serves org.example.counter until it is killed
varlink_peer.py client ADDRESS     calls Double and Count there, and prints the replies
"""
import json
import os
import sys
import tempfile

import varlink

INTERFACE = """interface org.example.counter
method Double(text: string) -> (text: string)
method Count(to: int) -> (number: int)
error TooFar (to: int)
"""


class TooFar(varlink.VarlinkError):
    def __init__(self, to):
        varlink.VarlinkError.__init__(
            self, {"error": "org.example.counter.TooFar", "parameters": {"to": to}}
        )


def serve(address):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "org.example.counter.varlink"), "w") as file:
            file.write(INTERFACE)
        service = varlink.Service("example", "counter", "1", "http://example.org", folder)

        class Handler(varlink.RequestHandler):
            pass

        Handler.service = service

        @service.interface("org.example.counter")
        class Counter:
            def Double(self, text):
                return {"text": text + text}

            def Count(self, to, _more=False):
                if to > 1000:
                    raise TooFar(to)
                for number in range(to + 1):
                    yield {"number": number, "_continues": _more and number < to}

        with varlink.ThreadingServer(address, Handler) as server:
            print("ready", flush=True)
            server.serve_forever()


def call(address):
    with varlink.Client(address) as client, client.open("org.example.counter") as counter:
        print(json.dumps(counter.Double("naïve 😀")["text"]))
        print(json.dumps([reply["number"] for reply in counter.Count(3, _more=True)]))


(serve if sys.argv[1] == "service" else call)(sys.argv[2])
