"""Seccomp user notification: the listener's ioctls (man 2 seccomp_unotify, linux/seccomp.h).

A notification is a request: what it says of the caller's memory may change at any time, and
nothing may be decided by it alone.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from typing import NamedTuple

# _IOWR('!', 0, struct seccomp_notif) and its sisters
RECV = 0xC0502100
SEND = 0xC0182101
_ID_VALID = 0x40082102
_SET_FLAGS = 0x40082104

# linux/seccomp.h
FLAG_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
FD_SYNC_WAKE_UP = 1  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, 6.6
# linux/errno.h: EINTR, or the call once more, as the signal's handler says
ERESTARTSYS = 512

# struct seccomp_notif { __u64 id; __u32 pid, flags; struct seccomp_data { int nr; __u32 arch;
# __u64 instruction_pointer, args[6]; } data; }
NOTIF = struct.Struct("=QIIiIQ6Q")
# struct seccomp_notif_resp { __u64 id; __s64 val; __s32 error; __u32 flags; }
RESP = struct.Struct("=QqiI")
_ID = struct.Struct("=Q")
_EMPTY = bytes(NOTIF.size)


class Notification(NamedTuple):
    """One held system call. ``pid``: of the calling thread, as seen here; 0 if it is not."""

    id: int
    pid: int
    nr: int
    arch: int
    args: tuple[int, ...]  # six, 64 bits each


def receive(listener: int) -> Notification:
    """Wait for the next held call. FileNotFoundError: its caller died meanwhile, or nobody is
    left under the filter (then poll(2) says POLLHUP)."""
    buffer = bytearray(_EMPTY)  # the kernel wants it zeroed
    fcntl.ioctl(listener, RECV, buffer)
    ident, pid, _, nr, arch, _, *args = NOTIF.unpack(buffer)
    return Notification(ident, pid, nr, arch, tuple(args))


def proceed(listener: int, ident: int) -> bool:
    """Let the kernel carry the call out, by its own rules. False: the caller is gone."""
    return _send(listener, RESP.pack(ident, 0, 0, FLAG_CONTINUE))


def refuse(listener: int, ident: int, code: int) -> bool:
    """Make the call fail with errno ``code``, without carrying it out. False: caller gone."""
    return _send(listener, RESP.pack(ident, 0, -code, 0))


def succeed(listener: int, ident: int, value: int) -> bool:
    """Make the call return ``value``, without carrying it out. False: caller gone."""
    return _send(listener, RESP.pack(ident, value, 0, 0))


def _send(listener: int, response: bytes) -> bool:
    try:
        fcntl.ioctl(listener, SEND, response)
    except FileNotFoundError:
        return False
    return True


def valid(listener: int, ident: int) -> bool:
    """Whether the call is still held: what was read of its caller's memory was its own."""
    try:
        fcntl.ioctl(listener, _ID_VALID, _ID.pack(ident))
    except FileNotFoundError:
        return False
    return True


def sync_wake_up(listener: int) -> bool:
    """Ask the kernel to wake caller and supervisor on one processor; False before 6.6."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, FD_SYNC_WAKE_UP)
    except OSError as exc:
        if exc.errno in (errno.EINVAL, errno.ENOTTY):
            return False
        raise
    return True
