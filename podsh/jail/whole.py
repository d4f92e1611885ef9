"""Mounts of a pod that show what the host has at the same place, all of it.

A name that such a directory lacks is missing on the host as well, and nothing can be mounted at
it: the shim, told of these mounts, does not ask (podsh/native/shim/ask.c). One that is left out
here costs time only.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from podsh.kernel import mounts
from podsh.kernel.uapi import (
    AT_FDCWD,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podsh.jail.generation import Generation

_DIR = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_STRAIGHT = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS


def publish(page: Generation, pid: int) -> None:
    """Tell the pod that process ``pid`` (of podsh's own) is in which of its mounts these are."""
    with contextlib.suppress(OSError):  # the pod has ended
        page.publish(whole_mounts(pid))


def whole_mounts(pid: int) -> Iterator[int]:
    """Their numbers."""
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    try:
        for mount in mounts.listing(pid):
            if mount.point != "/" and mount.fstype not in _KERNEL and _same(root, mount):
                yield mount.id
    finally:
        os.close(root)


_KERNEL = frozenset(kind.decode() for kind in mounts.KERNEL_TYPES)


def _same(root: int, mount: mounts.Mount) -> bool:
    """Whether a directory is mounted there, seen, and the host's of that path."""
    try:
        inside = mounts.openat2(root, mount.point, _DIR, resolve=_STRAIGHT | RESOLVE_IN_ROOT)
        try:
            # another one may cover it
            if mounts.number(inside) != mount.id:
                return False
            outside = mounts.openat2(AT_FDCWD, mount.point, _DIR, resolve=_STRAIGHT)
            try:
                return os.path.samestat(os.fstat(inside), os.fstat(outside))
            finally:
                os.close(outside)
        finally:
            os.close(inside)
    except OSError:
        return False  # a file, or gone meanwhile
