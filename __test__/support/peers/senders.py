"""Sends JSON datagrams from several processes and users with only Python's socket module.

Reads one JSON request per line and writes one JSON reply per line. Addresses are in hex.
"""

import json
import os
import socket
import struct
import sys

NOBODY = 65534
CREDENTIALS = 2  # SCM_CREDENTIALS

sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def send(value, to, ancillary=()):
    sock.sendmsg([json.dumps(value).encode()], ancillary, 0, bytes.fromhex(to))


def in_child(act):
    """Runs `act` in a forked child and waits for it. Returns the child's pid and the result of `act`."""
    pid = os.fork()
    if pid == 0:
        os._exit(act() or 0)
    return {"pid": pid, "result": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def op_send(value, to, fds=0):
    """Sends a datagram with `fds` descriptors of /dev/null; without any, by a plain sendto."""
    if fds == 0:
        sock.sendto(json.dumps(value).encode(), bytes.fromhex(to))
    else:
        null = os.open("/dev/null", os.O_RDONLY)
        rights = struct.pack(f"{fds}i", *[null] * fds)
        send(value, to, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(null)
    return {}


def op_fork(value, to):
    """Sends from the same socket in a child process."""
    return in_child(lambda: send(value, to))


def op_bind(name):
    sock.bind(bytes.fromhex(name))
    return {}


def op_claim(value, to, pid=None, uid=None):
    """Sends SCM_CREDENTIALS from an unprivileged child process, true ones unless `pid` or `uid` is set.

    The result is the errno of sendmsg, 0 on success.
    """

    def act():
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        mine = [os.getpid() if pid is None else pid, os.getuid() if uid is None else uid, os.getgid()]
        claim = struct.pack("iII", *mine)
        try:
            send(value, to, [(socket.SOL_SOCKET, CREDENTIALS, claim)])
        except OSError as error:
            return error.errno
        return 0

    return in_child(act)


def op_end():
    """Exits at once, without a reply, while its datagrams are unread."""
    sys.exit()


print(json.dumps({"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid()}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()["op_" + request.pop("op")](**request)), flush=True)
