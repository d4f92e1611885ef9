"""Threads: what /proc says of another one, and what this one may do.

A number names another thread once this one has ended: who asks makes sure by other means (a
notification that is still valid) that it had not.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from podsh.kernel.raw import system_call

if TYPE_CHECKING:
    from collections.abc import Iterator

# struct __user_cap_header_struct { __u32 version; int pid; }; twice struct __user_cap_data_struct
# { __u32 effective, permitted, inheritable; }: man 2 capget, <linux/capability.h>
_CAP_HEADER = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
_CAP_DATA = struct.Struct("=6I")

_capget = system_call("capget", ctypes.c_char_p, ctypes.c_char_p)
_capset = system_call("capset", ctypes.c_char_p, ctypes.c_char_p)
_setgroups = system_call("setgroups", ctypes.c_int, ctypes.c_void_p)
_setresgid = system_call("setresgid", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_setresuid = system_call("setresuid", ctypes.c_int, ctypes.c_int, ctypes.c_int)


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


class Ids(NamedTuple):
    """Whom a thread acts as: its effective ids. ``groups``: the supplementary ones, sorted."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def own_ids() -> Ids:
    """This thread's."""
    return Ids(os.geteuid(), os.getegid(), tuple(sorted(os.getgroups())))


def ids(tid: int) -> Ids | None:
    """Another thread's; None where it opens files as somebody else (man 2 setfsuid)."""
    users, groups, more = _status(tid, b"Uid", b"Gid", b"Groups")
    if users[1] != users[3] or groups[1] != groups[3]:
        return None
    return Ids(int(users[1]), int(groups[1]), tuple(sorted(map(int, more))))


@contextmanager
def acting_as(other: Ids) -> Iterator[None]:
    """This thread alone acts as ``other``, and without capabilities, as before. For root, in
    threads that have dropped their effective capabilities and may take them again."""
    mine = own_ids()
    try:
        _change(mine, other)
        yield
    finally:
        try:
            _change(mine, mine)
        except OSError:
            os._exit(1)  # what this thread does next would be somebody else's


def _change(real: Ids, wanted: Ids) -> None:
    """Be effectively ``wanted``, where the real and saved ids are those of ``real``, root's."""
    # each is one thread's: libc's own calls change all of a process
    if os.geteuid() != real.uid:
        _setresuid(-1, real.uid, -1)
    _set_effective(True)
    try:
        _setgroups(len(wanted.groups), (ctypes.c_uint * len(wanted.groups))(*wanted.groups))
        _setresgid(-1, wanted.gid, -1)
        _setresuid(-1, wanted.uid, -1)
    finally:
        _set_effective(False)


def drop_effective() -> None:
    """Act without capabilities from now on, in this thread alone: man 7 capabilities."""
    _set_effective(False)


def _set_effective(on: bool) -> None:
    data = ctypes.create_string_buffer(_CAP_DATA.size)
    _capget(_CAP_HEADER, data)
    _, low, inheritable, _, high, inheritable_high = _CAP_DATA.unpack(data.raw)
    effective = (low, high) if on else (0, 0)
    _capset(
        _CAP_HEADER,
        _CAP_DATA.pack(effective[0], low, inheritable, effective[1], high, inheritable_high),
    )
