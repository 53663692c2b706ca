"""Runs a program for which the kernel lacks SO_PASSRIGHTS, as those before Linux 6.16 do.

A seccomp filter fails the system calls that get or set the option, with ENOPROTOOPT.
"""
import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
SOL_SOCKET, SO_PASSRIGHTS = 1, 83
SETSOCKOPT, GETSOCKOPT = {"x86_64": (54, 55), "aarch64": (208, 209)}[platform.machine()]
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.ENOPROTOOPT
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
# The offsets of the fields of `struct seccomp_data`: nr, and the low words of the arguments.
NUMBER, LEVEL, OPTION = 0, 24, 32

FILTER = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 1, 0, SETSOCKOPT),
    (JUMP_EQUAL, 0, 5, GETSOCKOPT),
    (LOAD, 0, 0, LEVEL),
    (JUMP_EQUAL, 0, 3, SOL_SOCKET),
    (LOAD, 0, 0, OPTION),
    (JUMP_EQUAL, 0, 1, SO_PASSRIGHTS),
    (RETURN, 0, 0, FAIL),
    (RETURN, 0, 0, ALLOW),
]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


code = b"".join(struct.pack("HBBI", *instruction) for instruction in FILTER)
memory = ctypes.create_string_buffer(code)
program = Program(len(FILTER), ctypes.addressof(memory))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)) != 0:
    raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")
os.execvp(sys.argv[1], sys.argv[1:])
