"""Files overwritten before they are removed, whatever their pod made of them."""

from __future__ import annotations

import errno
import os
import stat

MAX_PASSES = 100
_CHUNK = 1 << 20
_SOME = 10


class Shred:
    """Overwrites files before their last name goes. ``random``: by random bytes, else zeros."""

    def __init__(self, passes: int, random: bool) -> None:
        """Raises ValueError for so many passes."""
        if not 0 < passes <= MAX_PASSES:
            raise ValueError(f"{passes} passes")
        self.passes = passes
        self.random = random
        self.failed: list[str] = []  # what could not be, and why
        self._names: set[tuple[int, int]] = set()  # files of which a name went, and others are left

    @classmethod
    def named(cls, name: str) -> Shred | None:
        """The one that ``str`` of it names; None for anything else."""
        kind, _, passes = name.partition(".")
        if kind not in ("zero", "nuke") or not passes.isdecimal():
            return None
        return cls(int(passes), kind == "nuke")

    def __str__(self) -> str:
        return f"{'nuke' if self.random else 'zero'}.{self.passes}"

    def take(self, path: str) -> None:
        """Overwrite the file at ``path``, whose name goes next; a link is nothing to overwrite."""
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return
            key = (found.st_dev, found.st_ino)
            if found.st_nlink > 1:
                self._names.add(key)  # the last of its names may come
                return
            self._names.discard(key)
            os.chmod(f"/proc/self/fd/{fd}", 0o600)
            writable = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
        finally:
            os.close(fd)
        try:
            for _ in range(self.passes):
                self._overwrite(writable, found.st_size)
                os.fsync(writable)
        finally:
            os.close(writable)

    def _overwrite(self, fd: int, size: int) -> None:
        """What is in the file; a hole has nothing."""
        at = 0
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
                end = os.lseek(fd, at, os.SEEK_HOLE)
            except OSError as exc:
                if exc.errno == errno.ENXIO:
                    return
                end = size
            while at < end:
                length = min(_CHUNK, end - at)
                data = os.urandom(length) if self.random else bytes(length)
                at += os.pwrite(fd, data, at)

    def notes(self) -> list[str]:
        """What a person should know at the end."""
        found = [f"not overwritten: {why}" for why in self.failed[:_SOME]]
        if len(self.failed) > _SOME:
            found.append(f"and {len(self.failed) - _SOME} more were not overwritten")
        if self._names:
            count = len(self._names)
            files = "1 file has another name" if count == 1 else f"{count} files have other names"
            found.append(f"{files} outside of the pod's state, and was left as it is")
        return found
