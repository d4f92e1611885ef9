"""What of a pod's files is on filesystems of its own, which the host has no other way to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh.jail.resolve import below
from podsh.kernel import mounts
from podsh.kernel.fds import OwnedFd
from podsh.kernel.uapi import AT_FDCWD, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from podsh.jail.grant import Shown

_STRAIGHT = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS


class Owned:
    """Of one pod: its tmpfs, and its home where that is a directory of podsh's state."""

    def __init__(self, init_pid: int, tmpfs: Collection[str], shown: Sequence[Shown]) -> None:
        """tmpfs: where the plan has put some; shown: the mounts that the pod has of the host."""
        hosts = {mount.device for mount in mounts.listing()}
        hosts.update(entry.object[0] for entry in shown)
        # a grant may lie over one of them, and be a tmpfs as well: then the host has it
        self._devices = {
            mount.device
            for mount in mounts.listing(init_pid)
            if mount.fstype == "tmpfs" and mount.point in tmpfs and mount.device not in hosts
        }
        self._homes = [entry for entry in shown if entry.own]

    def has(self, fd: int) -> bool:
        """Whether the object that an O_PATH descriptor holds lies there."""
        status = os.fstat(fd)
        if status.st_dev in self._devices:
            return True
        name = os.readlink(f"/proc/self/fd/{fd}")
        return any(
            below(name, home.dst) and _is_at(home.src + name[len(home.dst) :], status)
            for home in self._homes
        )


def _is_at(path: str, status: os.stat_result) -> bool:
    """By the object: another mount may have put something else at that name in the pod."""
    try:
        fd = mounts.openat2(AT_FDCWD, path, os.O_PATH, resolve=_STRAIGHT)
    except OSError:
        return False
    with OwnedFd(fd):
        return os.path.samestat(os.fstat(fd), status)
