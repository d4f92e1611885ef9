"""Threads: what /proc says of another one, and what this one may do.

A number names another thread once this one has ended: who asks makes sure by other means (a
notification that is still valid) that it had not.
"""

from __future__ import annotations

import ctypes
import os
import struct

from podsh.kernel.raw import system_call

# struct __user_cap_header_struct { __u32 version; int pid; }; twice struct __user_cap_data_struct
# { __u32 effective, permitted, inheritable; }: man 2 capget, <linux/capability.h>
_CAP_HEADER = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
_CAP_DATA = struct.Struct("=6I")

_capget = system_call("capget", ctypes.c_char_p, ctypes.c_char_p)
_capset = system_call("capset", ctypes.c_char_p, ctypes.c_char_p)


_STATUS_BYTES = 1 << 14


def _status(tid: int, *names: bytes) -> list[list[bytes]]:
    """The words of fields of /proc/TID/status, man 5 proc_pid_status, which escapes newlines in
    the thread's name. OSError once it has ended."""
    fd = os.open(f"/proc/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _STATUS_BYTES)
    finally:
        os.close(fd)
    found = []
    for name in names:
        _, _, rest = data.partition(b"\n" + name + b":")
        found.append(rest.partition(b"\n")[0].split())
    return found


def leader(tid: int) -> int:
    """The process that the thread belongs to."""
    return int(_status(tid, b"Tgid")[0][0])


def is_ours(tid: int) -> bool:
    """Whether it acts by this process's user and group: by the effective ids, and by those that
    files are opened with."""
    users, groups = _status(tid, b"Uid", b"Gid")
    uid, gid = os.geteuid(), os.getegid()
    return all(int(users[at]) == uid and int(groups[at]) == gid for at in (1, 3))


def drop_effective() -> None:
    """Act without capabilities from now on, in this thread alone: man 7 capabilities."""
    data = ctypes.create_string_buffer(_CAP_DATA.size)
    _capget(_CAP_HEADER, data)
    _, permitted, inheritable, _, permitted_high, inheritable_high = _CAP_DATA.unpack(data.raw)
    _capset(
        _CAP_HEADER,
        _CAP_DATA.pack(0, permitted, inheritable, 0, permitted_high, inheritable_high),
    )
