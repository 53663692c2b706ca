"""An independent peer of the service protocol that uses only Python's json, socket and array modules.

`jsoncomm_service.py --service-id ID --service-fd FD …` runs a service. Without these options it runs
a client that reads one JSON request per line and writes one JSON reply per line; the request `start`
launches the service that the client calls.
"""

import argparse
import array
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import traceback


def memfd(text):
    fd = os.memfd_create("peer")
    os.write(fd, text.encode())
    return fd


def contents(fds):
    """Returns the contents of each descriptor's file and closes the descriptors."""
    texts = [os.pread(fd, 256, 0).decode() for fd in fds]
    for fd in fds:
        os.close(fd)
    return texts


def send(sock, message, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([json.dumps(message).encode()], rights)


def recv(sock):
    """Receives a message and its descriptors; the message is None at end of stream."""
    fds = array.array("i")
    data, ancillary, flags, _ = sock.recvmsg(1 << 20, socket.CMSG_LEN(253 * fds.itemsize))
    for level, kind, rights in ancillary:
        # The protocol uses no other ancillary data.
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    return (json.loads(data) if data else None), list(fds)


class Service:
    def __init__(self, id, fd):
        self.id = id
        self.sock = socket.socket(fileno=fd)

    def serve(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            message, fds = recv(self.sock)
            if not message:
                return
            reply_fds = []
            try:
                if message["type"] != "method":
                    raise ValueError("unknown message type")
                data = message["data"]
                result, reply_fds = getattr(self, "do_" + data["name"])(data.get("args", []), fds)
                for fd in reply_fds:
                    fcntl.fcntl(fd, fcntl.F_GETFD)
                reply = {"type": "reply", "data": {"reply": result}}
            except Exception as error:
                trace = "".join(traceback.format_tb(error.__traceback__))
                data = {"name": type(error).__name__, "value": str(error), "backtrace": trace}
                reply = {"type": "exception", "data": data}
                self.close_all(reply_fds)
                reply_fds = []
            self.close_all(fds)
            send(self.sock, reply, reply_fds)
            self.close_all(reply_fds)

    def close_all(self, fds):
        for fd in fds:
            try:
                os.close(fd)
            except OSError:
                pass

    def signal(self, value, fds=()):
        send(self.sock, {"type": "signal", "data": {"reply": value}}, fds)

    def do_echo(self, args, fds):
        return args, []

    def do_about(self, args, fds):
        stdin = os.readlink("/proc/self/fd/0")
        return {"id": self.id, "argv": sys.argv[1:], "stdin": stdin, "pid": os.getpid()}, []

    def do_read(self, args, fds):
        return contents(fds[:]), []

    def do_swap(self, args, fds):
        """Returns the contents of the received files, and one memfd per argument."""
        texts = [os.pread(fd, 256, 0).decode() for fd in fds]
        return texts, [memfd(text) for text in args]

    def do_signals(self, args, fds):
        """Sends each text in its own signal, together with a memfd that contains it."""
        for text in args:
            fd = memfd(text)
            self.signal({"text": text}, [fd])
            os.close(fd)
        self.signal("last signal")
        return len(args), []

    def do_bad_fd(self, args, fds):
        good, bad = memfd("good"), memfd("bad")
        os.close(bad)
        return None, [good, bad]

    def do_boom(self, args, fds):
        raise ValueError("Remote Exception")

    def do_open_fds(self, args, fds):
        return len(os.listdir("/proc/self/fd")), []

    def do_signal_and_hang(self, args, fds):
        self.signal("ready")
        signal.pause()

    def do_exit(self, args, fds):
        os._exit(args[0])

    def do_raw(self, args, fds):
        """Sends each argument as a raw message ahead of the reply."""
        for text in args:
            self.sock.sendmsg([text.encode()])
        return "reply", []


class Client:
    """The requests of the client."""

    def op_start(self, argv, id="uid", **_):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        fd = theirs.fileno()
        args = ["--service-id", id, "--service-fd", str(fd), "--more"]
        self.child = subprocess.Popen(argv + args, pass_fds=[fd], stdin=subprocess.DEVNULL)
        theirs.close()
        return {"pid": self.child.pid}

    def op_call(self, name, args=None, texts=(), kill=False, **_):
        """Calls a method. With `kill`, kills the service after its first signal."""
        fds = [memfd(text) for text in texts]
        data = {"name": name} if args is None else {"name": name, "args": args}
        send(self.sock, {"type": "method", "data": data}, fds)
        for fd in fds:
            os.close(fd)
        return self.op_replies(kill)

    def op_raw(self, text, count=0, **_):
        """Sends a raw text with `count` descriptors."""
        fds = [memfd("raw") for _ in range(count)]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([text.encode()], rights)
        for fd in fds:
            os.close(fd)
        return self.op_replies()

    def op_replies(self, kill=False, **_):
        signals = []
        while True:
            message, fds = recv(self.sock)
            if message is None:
                return {"signals": signals, "end": True}
            value = [message["data"].get("reply"), contents(fds)]
            if message["type"] != "signal":
                return {"signals": signals, "type": message["type"], "value": value, "data": message["data"]}
            signals.append(value)
            if kill:
                self.child.kill()

    def op_signal(self, number, **_):
        self.child.send_signal(number)
        return {}

    def op_stop(self, **_):
        self.sock.close()
        return {"code": self.child.wait(20)}


parser = argparse.ArgumentParser()
parser.add_argument("--service-id")
parser.add_argument("--service-fd", type=int)
options, _ = parser.parse_known_args()
if options.service_fd is not None:
    Service(options.service_id, options.service_fd).serve()
else:
    client = Client()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(client, "op_" + request["op"])(**request)), flush=True)
