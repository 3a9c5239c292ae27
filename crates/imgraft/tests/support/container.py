"""Runs a program as a plain container has it: as root, who may neither mount nor make namespaces.

As with Docker, a filter of system calls refuses them, and the capability that would allow them is gone. As with
containers whose devices are listed, one device may not be made: 7:99.
"""

import ctypes
import os
import platform
import struct
import sys

EPERM, ENOSYS = 1, 38
NAMESPACES = 0x7E020000
CAP_SYS_ADMIN = 21
PR_SET_SECCOMP, PR_CAPBSET_DROP = 22, 24

# mount, umount2, pivot_root, unshare, setns; clone; mknodat.
REFUSED, CLONE, MKNODAT = {
    "x86_64": ([165, 166, 155, 272, 308], 56, 259),
    "aarch64": ([40, 39, 41, 97, 268], 220, 33),
}[platform.machine()]
# open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr: the same everywhere.
REFUSED = REFUSED + [428, 429, 430, 431, 432, 433, 442]
CLONE3 = 435
DEVICE = os.makedev(7, 99)

LOAD, EQUAL, ANY, VERDICT = 0x20, 0x15, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def instruction(code, value, yes=0, no=0):
    return struct.pack("HBBI", code, yes, no, value)


filter = [instruction(LOAD, 0)]
for number in REFUSED:
    filter += [instruction(EQUAL, number, 0, 1), instruction(VERDICT, FAIL | EPERM)]
filter += [instruction(EQUAL, CLONE3, 0, 1), instruction(VERDICT, FAIL | ENOSYS)]
# The lower half of an argument is at 16, 24, 32, 40.
filter += [
    instruction(EQUAL, MKNODAT, 0, 4),
    instruction(LOAD, 40),
    instruction(EQUAL, DEVICE, 0, 1),
    instruction(VERDICT, FAIL | EPERM),
    instruction(VERDICT, ALLOW),
]
filter += [
    instruction(EQUAL, CLONE, 0, 3),
    instruction(LOAD, 16),
    instruction(ANY, NAMESPACES, 0, 1),
    instruction(VERDICT, FAIL | EPERM),
    instruction(VERDICT, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(filter))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
program = Program(len(filter), ctypes.addressof(code))
for arguments in [(PR_SET_SECCOMP, 2, ctypes.byref(program)), (PR_CAPBSET_DROP, CAP_SYS_ADMIN)]:
    if libc.prctl(*arguments, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
os.execv(sys.argv[1], sys.argv[1:])
