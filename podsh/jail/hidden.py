"""What no pod sees, by every way to it: the host may have mounted the same tree elsewhere too."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from podsh.jail.resolve import absent, expand, walk
from podsh.kernel import mounts
from podsh.kernel.uapi import AT_FDCWD, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podsh.jail.resolve import Found, Names
    from podsh.operations import Hide

_STRAIGHT = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS


def hidden_paths(
    hides: Iterable[Hide], names: Names, overview: mounts.Overview
) -> list[tuple[str, bool, str]]:
    """What the patterns name on this host now: (path without links, is a directory, rule)."""
    found: list[tuple[str, bool, str]] = []
    twins = _Twins(overview)
    for pattern, where in (rule for hide in hides for rule in hide.rules):
        for name in expand(pattern, names):
            there = None if absent(name) else walk(name)
            if there is not None:
                status = os.fstat(there.fd)
                found.append((there.path, stat.S_ISDIR(status.st_mode), where))
                found += [(path, is_dir, where) for path, is_dir in twins.of(there, status)]
                os.close(there.fd)
    return found


class _Twins:
    """Finds the other paths of what is hidden."""

    def __init__(self, overview: mounts.Overview) -> None:
        self._lines = overview.repeated
        self._mounts: dict[int, mounts.Mount] | None = None
        # some filesystems (btrfs) say another device of a file than of their mounts
        self._any = any(os.major(device) == 0 for device in self._lines)

    def of(self, hidden: Found, status: os.stat_result) -> Iterator[tuple[str, bool]]:
        """Each as (path, is a directory)."""
        device = status.st_dev
        if device not in self._lines and (os.major(device) or not self._any):
            return
        if self._mounts is None:
            found = [mounts.Mount(line) for lines in self._lines.values() for line in lines]
            self._mounts = {mount.id: mount for mount in found}
        own = self._mounts.get(mounts.number(hidden.fd))
        if own is None or not lies_in(hidden.path, own.point):
            return
        inner = joined(own.root, hidden.path[len(own.point.rstrip("/")) :])
        for mount in self._mounts.values():
            if mount is own or mount.device != own.device:
                continue
            if lies_in(inner, mount.root):
                path = joined(mount.point, inner[len(mount.root.rstrip("/")) :])
                if _is_at(path, status):
                    yield path, stat.S_ISDIR(status.st_mode)
            elif lies_in(mount.root, inner):
                # a part of it
                yield mount.point, os.path.isdir(mount.point)


def _is_at(path: str, status: os.stat_result) -> bool:
    """Whether the object is there: another mount may cover it."""
    try:
        fd = mounts.openat2(AT_FDCWD, path, os.O_PATH, resolve=_STRAIGHT)
    except OSError:
        return False
    try:
        return os.path.samestat(os.fstat(fd), status)
    finally:
        os.close(fd)


def joined(directory: str, rest: str) -> str:
    """``rest`` begins with a slash, or is empty."""
    return directory.rstrip("/") + rest or "/"


def lies_in(path: str, directory: str) -> bool:
    """Whether it is ``directory`` or below it (both without links, normalised)."""
    return directory == "/" or path == directory or path.startswith(directory + "/")
