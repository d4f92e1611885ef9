"""The page by which programs of a pod know what they need not ask for.

The shim keeps refusals for as long as its number stays, and asks for nothing that a mount listed
there lacks (podsh/native/shim/ask.c; the mounts: whole.py). It is a file of a tmpfs of its own:
here mapped writable, in the pod mounted read-only.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import os
from typing import TYPE_CHECKING

from podsh.kernel import mounts
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY, MS_PRIVATE, OPEN_TREE_CLONE

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = "gen"
# struct page of podsh/native/shim/ask.c: generation, count, mounts
_COUNT, _FIRST, _WORDS = 1, 2, 512


class Generation:
    """The page of one pod. Owns its tmpfs, which ends with the last mount of it."""

    __slots__ = ("_counter", "_page", "_root")

    def __init__(self) -> None:
        self._root = mounts.tmpfs(1 << 16, mounts.INERT)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(_FILE, flags, dir_fd=self._root)
            try:
                os.fchmod(fd, 0o444)  # whatever the umask
                os.ftruncate(fd, mmap.PAGESIZE)
                self._page = mmap.mmap(fd, mmap.PAGESIZE)
            finally:
                os.close(fd)
        except BaseException:
            os.close(self._root)
            raise
        # one store of eight bytes: no reader sees half of a number
        self._counter = memoryview(self._page).cast("Q")
        self._counter[0] = 1  # 0 is "keep nothing"

    def mount(self) -> int | None:
        """A detached read-only mount of the file, the caller's; None where the kernel copies no
        detached mounts (before Linux 6.15): then the pod has no page, and nothing is kept."""
        try:
            tree = mounts.open_tree(self._root, _FILE, OPEN_TREE_CLONE)
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
            return None
        try:
            mounts.mount_setattr(tree, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, recursive=False)
        except BaseException:
            os.close(tree)
            raise
        return tree

    @property
    def number(self) -> int:
        return self._counter[0]

    def bump(self) -> None:
        """Something may be had now that was refused before: all programs ask again."""
        self._counter[0] += 1

    def publish(self, whole: Iterable[int]) -> None:
        """Tell which mounts show all that the host has at their place; nothing: none is known.

        To be emptied before a mount is taken away: the next one may get its number.
        """
        self._counter[_COUNT] = 0
        count = 0
        for count, mount in enumerate(itertools.islice(whole, _WORDS - _FIRST), 1):
            self._counter[_FIRST + count - 1] = mount
        self._counter[_COUNT] = count

    def close(self) -> None:
        """Let go of the page; mounts of it stay, with their last number."""
        if self._root >= 0:
            self._counter.release()
            self._page.close()
            os.close(self._root)
            self._root = -1
