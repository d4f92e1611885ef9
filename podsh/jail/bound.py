"""What of the host a pod will see: an object held by descriptor, and the mount made of it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from podsh.jail.resolve import below
from podsh.kernel import mounts
from podsh.kernel.uapi import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
)

if TYPE_CHECKING:
    from podsh import operations as p
    from podsh.jail.resolve import Found


class Bound:
    """A bind that will be attached: its held source, where it goes, its mount attributes."""

    __slots__ = ("attrs", "dst", "fd", "is_dir", "is_socket", "object", "of_kernel", "op", "src")

    def __init__(
        self, op: p.Bind, found: Found, dst: str, status: os.stat_result, of_kernel: bool = False
    ) -> None:
        self.op = op
        self.fd = found.fd
        self.src = found.path
        self.dst = dst
        self.is_dir = stat.S_ISDIR(status.st_mode)
        self.is_socket = stat.S_ISSOCK(status.st_mode)
        self.object = (status.st_dev, status.st_ino)
        self.of_kernel = of_kernel
        # by the object, not by its name: a link or a second mount may lead there
        self.attrs = attributes(op) | (MOUNT_ATTR_RDONLY if of_kernel else 0)


def attributes(op: p.Bind) -> int:
    """mount_setattr(2) attributes of a bind; what the host's mount forbids stays forbidden."""
    attrs = 0
    if not op.write or below(op.src, "/sys") or op.src == "/sys":
        attrs |= MOUNT_ATTR_RDONLY
    if not op.exec:
        attrs |= MOUNT_ATTR_NOEXEC
    if not op.suid:
        attrs |= MOUNT_ATTR_NOSUID
    if not op.dev:
        attrs |= MOUNT_ATTR_NODEV
    return attrs


def clone(fd: int, attrs: int, *, recursive: bool = True) -> int:
    """A detached private copy of the tree at ``fd`` with ``attrs`` added to every mount of it.

    Private: as a slave, a host mount made later below a read-only bind would appear writable.
    """
    tree = mounts.clone_tree(fd, recursive=recursive)
    try:
        mounts.mount_setattr(tree, attrs, 0, MS_PRIVATE, recursive=recursive)
    except OSError:
        os.close(tree)
        raise
    return tree
