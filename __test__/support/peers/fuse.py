"""A file server on FUSE whose files never answer a read.

`fuse.py DIR OVERLAY EMPTY` mounts it at DIR, and an overlay of it and of the directory EMPTY at OVERLAY.
It has one file and one FIFO. Prints a line when it is mounted, and unmounts when its input ends.
"""
import ctypes
import os
import stat
import struct
import sys
import threading

mountpoint, overlay, empty = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
FILES = {b"file": (2, stat.S_IFREG | 0o644), b"fifo": (3, stat.S_IFIFO | 0o644)}
MODES = {1: stat.S_IFDIR | 0o755, **{node: mode for node, mode in FILES.values()}}
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, INIT, OPENDIR, BATCH_FORGET = 1, 2, 3, 14, 15, 17, 26, 27, 42
ENOENT, ENOSYS = 2, 38


def mount(source, target, kind, flags, options):
    arguments = [part.encode() for part in (source, target, kind)]
    if libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind}: {os.strerror(ctypes.get_errno())}")


def attributes(node):
    size = 1000 if node == 2 else 0
    return struct.pack("<6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, MODES[node], 1, 0, 0, 0, 512, 0)


def answer(opcode, node, body):
    """Returns the reply to a request: bytes, an errno, or None for no reply."""
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, *[0] * 8)
    if opcode == LOOKUP:
        found = FILES.get(body.rstrip(b"\0"))
        if found is None:
            return ENOENT
        return struct.pack("<4Q2I", found[0], 0, 60, 60, 0, 0) + attributes(found[0])
    if opcode == GETATTR:
        return struct.pack("<Q2I", 60, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 1, 0, 0)
    if opcode == STATFS:
        return struct.pack("<5Q4I6I", 1, 1, 1, 1, 1, 4096, 255, 4096, 0, *[0] * 6)
    if opcode in (FORGET, BATCH_FORGET, READ):
        return None
    return ENOSYS


def serve(fuse):
    while True:
        try:
            request = os.read(fuse, 1 << 20)
        except OSError:
            return
        _, opcode, unique, node = struct.unpack("<2I2Q", request[:24])
        reply = answer(opcode, node, request[40:])
        if reply is None:
            continue
        error, body = (-reply, b"") if isinstance(reply, int) else (0, reply)
        os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


fuse = os.open("/dev/fuse", os.O_RDWR)
mount("fuse", mountpoint, "fuse", 0, f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other")
threading.Thread(target=serve, args=[fuse], daemon=True).start()
mount("overlay", overlay, "overlay", 0, f"lowerdir={mountpoint}:{empty}")
print('"mounted"', flush=True)
sys.stdin.read()
for path in (overlay, mountpoint):
    libc.umount2(path.encode(), 2)
