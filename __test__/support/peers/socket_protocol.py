"""A socket_protocol peer, written from docs/protocols/socket_protocol.md alone.

    socket_protocol.py (connect|listen) (unix PATH | tcp HOST PORT) FORM SECRET_HEX

Reads one JSON request per line from stdin and writes one JSON reply per line to stdout. While it
waits for a message it answers requests as that page describes: 10/* echoes its data, 20/0 stores a
value, 30/0 returns the stored value.
"""

import binascii
import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import zlib

OKAY, CALLBACK_ERROR, AUTH_REQUIRED, UNKNOWN, CHECKSUM_ERROR, NOT_PERMITTED = 0, 2, 3, 4, 5, 6
RESPONSES = {0: 1, 8: 9, 10: 11, 20: 21, 30: 31}


def frame(body):
    return b":<" + body.replace(b":", b":=") + b":>"


class Unframer:
    """Removes the stp framing, byte by byte."""

    def __init__(self):
        self.body = None
        self.colon = False

    def feed(self, data):
        bodies = []
        for value in data:
            byte = bytes([value])
            if not self.colon and byte == b":":
                self.colon = True
                continue
            escaped, self.colon = self.colon, False
            if not escaped:
                if self.body is not None:
                    self.body += byte
            elif byte == b"<":
                self.body = b""  # within a frame: an invalid escape that starts the next frame
            elif self.body is None:
                self.colon = byte == b":"
            elif byte == b"=":
                self.body += b":"
            elif byte == b">":
                bodies.append(self.body)
                self.body = None
            else:
                self.body = None
                self.colon = byte == b":"
        return bodies


class Form:
    def __init__(self, name):
        self.is_struct = name == "struct_json"

    def write(self, status, service_id, data_id, data):
        if self.is_struct:
            body = struct.pack(">III", status, service_id, data_id) + json.dumps(data).encode()
        else:
            keys = {"data_id": data_id, "service_id": service_id, "status": status, "data": data}
            body = json.dumps(keys).encode()
        return body + struct.pack(">I", zlib.crc32(body))

    def read(self, body):
        """Returns (checksum is valid, status, service id, data id, data)."""
        checked, checksum = body[:-4], body[-4:]
        valid = struct.pack(">I", zlib.crc32(checked)) == checksum
        if self.is_struct:
            return (valid, *struct.unpack(">III", checked[:12]), json.loads(checked[12:]))
        keys = json.loads(checked)
        return valid, keys["status"], keys["service_id"], keys["data_id"], keys["data"]


class Peer:
    def __init__(self, connection, role, form, secret):
        self.connection = connection
        self.role = role
        self.form = Form(form)
        self.secret = secret
        self.unframer = Unframer()
        self.inbox = []
        self.name = None
        self.trusted = False
        self.seed = None
        self.failed = 0
        self.kept = None
        if role == "client":
            self.send(OKAY, 8, 0, "python")

    def send(self, status, service_id, data_id, data):
        self.connection.sendall(frame(self.form.write(status, service_id, data_id, data)))

    def receive(self):
        """Answers requests until another message arrives and returns that; None at end of stream."""
        while True:
            while self.inbox:
                message = self.form.read(self.inbox.pop(0))
                valid, status, service_id, data_id, data = message
                if service_id not in RESPONSES:
                    return list(message[1:]) if valid else None
                if valid:
                    answer = self.answer(service_id, data_id, data)
                else:
                    answer = CHECKSUM_ERROR, None
                self.send(answer[0], RESPONSES[service_id], data_id, answer[1])
                if self.failed >= 5:
                    return None
            try:
                data = self.connection.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.inbox += self.unframer.feed(data)

    def key(self, role, seed):
        text = b"fdwire socket_protocol 1" + b"\0" + role.encode() + b"\0" + seed.encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()

    def answer(self, service_id, data_id, data):
        if (service_id, data_id) == (8, 0):
            if data is None:
                return OKAY, self.name
            self.name = data
            return OKAY, None
        if (service_id, data_id) == (0, 0):
            if self.failed >= 5:
                return NOT_PERMITTED, None
            self.failed += 1
            self.seed = binascii.hexlify(os.urandom(32)).decode()
            return OKAY, self.seed
        if (service_id, data_id) == (0, 1):
            seed, self.seed = self.seed, None
            if seed is None:
                self.failed += 1
                return NOT_PERMITTED, False
            other = "server" if self.role == "client" else "client"
            self.trusted = hmac.compare_digest(self.key(other, seed), str(data))
            if self.trusted:
                self.failed = 0
            return OKAY, self.trusted
        if self.secret and not self.trusted:
            return AUTH_REQUIRED, None
        if service_id == 10:
            return OKAY, data
        if (service_id, data_id) == (20, 0):
            self.kept = data
            return OKAY, None
        if (service_id, data_id) == (30, 0):
            return OKAY, self.kept
        return UNKNOWN, None

    def request(self, service_id, data_id, data):
        self.send(OKAY, service_id, data_id, data)
        return self.response(RESPONSES[service_id], data_id)

    def response(self, service_id, data_id):
        while True:
            message = self.receive()
            if message is None or message[1:3] == [service_id, data_id]:
                return message

    def authenticate(self):
        answer = self.request(0, 0, None)
        if answer is None or answer[0] != OKAY:
            return False
        answer = self.request(0, 1, self.key(self.role, answer[3]))
        self.trusted = answer is not None and answer[0] == OKAY and answer[3] is True
        return self.trusted

    def do(self, op, **args):
        if op == "request":
            return self.request(args["service_id"], args["data_id"], args["data"])
        if op == "burst":
            for data in args["data"]:
                self.send(OKAY, args["service_id"], args["data_id"], data)
            response = RESPONSES[args["service_id"]], args["data_id"]
            return [self.response(*response)[3] for _ in args["data"]]
        if op == "authenticate":
            return self.authenticate()
        if op == "send":
            return self.send(args["status"], args["service_id"], args["data_id"], args["data"])
        if op == "raw":
            return self.connection.sendall(bytes.fromhex(args["hex"]))
        if op == "receive":
            return self.receive()
        if op == "serve":
            while self.receive() is not None:
                pass
            return "end of stream"
        if op == "state":
            return {"name": self.name, "trusted": self.trusted, "kept": self.kept}
        raise ValueError(op)


def opened(mode, family, *where):
    if family == "unix":
        sock, address = socket.socket(socket.AF_UNIX), where[0]
    else:
        sock, address = socket.socket(socket.AF_INET), (where[0], int(where[1]))
    if mode == "connect":
        sock.connect(address)
        return sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen()
    print(json.dumps({"listening": sock.getsockname()}), flush=True)
    return sock.accept()[0]


def main(mode, *rest):
    *where, form, secret = rest
    role = "client" if mode == "connect" else "server"
    peer = Peer(opened(mode, *where), role, form, bytes.fromhex(secret))
    print(json.dumps({"role": role}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"result": peer.do(**json.loads(line))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
