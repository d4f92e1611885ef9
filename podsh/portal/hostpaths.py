"""Paths of the host with their links followed, remembered until a directory on the way changes."""

from __future__ import annotations

import errno
import os
import time

# as the kernel: MAXSYMLINKS, linux/namei.h
_MAX_LINKS = 40
# a directory that changed so lately may change again without a new time stamp
_RACY_NS = 50_000_000
_FORGET_AT = 50_000

Stamp = tuple[int, int, int, int]


class HostPaths:
    """``refresh()``, then ``real(path)`` as often as needed; ``generation`` tells answers apart."""

    def __init__(self) -> None:
        self.generation = 0
        # what a name is: None (nothing is there), "" (no link), or what the link says
        self._names: dict[str, str | None] = {}
        self._directories: dict[str, tuple[Stamp | None, list[str]]] = {}
        # what was answered in this generation
        self._real: dict[str, tuple[str, bool]] = {}

    def refresh(self) -> None:
        """Look again at what may have changed since."""
        if len(self._names) > _FORGET_AT or len(self._real) > _FORGET_AT:
            self._names.clear()
            self._directories.clear()
            self._real.clear()
            self.generation += 1
            return
        now = time.time_ns()
        for directory, (old, names) in self._directories.items():
            new = _stamp(directory, now)
            if new is not None and new == old:
                continue
            self._directories[directory] = (new, names)
            for name in names:
                found = _entry(name)
                if found != self._names[name]:
                    self._names[name] = found
                    self._real.clear()
                    self.generation += 1

    def real(self, path: str) -> tuple[str, bool]:
        """``path`` (absolute) without links, and whether it is there.

        Of what is not there the part that is has its links followed.
        """
        found = self._real.get(path)
        if found is None:
            found = self._real[path] = self._follow("/", path, _MAX_LINKS)
        return found

    def _follow(self, at: str, text: str, links: int) -> tuple[str, bool]:
        """``text`` from the directory ``at``, which has no links in it."""
        if text.startswith("/"):
            at = "/"
        parts = [part for part in text.split("/") if part not in ("", ".")]
        for done, part in enumerate(parts):
            if part == "..":
                at = os.path.dirname(at)
                continue
            here = f"/{part}" if at == "/" else f"{at}/{part}"
            target = self._name(here, at)
            if target == "":
                at = here
                continue
            there = False
            if target is not None and links:
                at, there = self._follow(at, target, links - 1)
            else:
                at = here
            if not there:
                rest = parts[done + 1 :]
                return os.path.normpath("/".join((at, *rest))) if rest else at, False
        return at, True

    def _name(self, path: str, directory: str) -> str | None:
        if path in self._names:
            return self._names[path]
        if directory not in self._directories:
            self._directories[directory] = (_stamp(directory, time.time_ns()), [])
        self._directories[directory][1].append(path)
        found = self._names[path] = _entry(path)
        return found


def _entry(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        return ""  # EINVAL: no link. What cannot be looked at is taken as it is


def _stamp(directory: str, now: int) -> Stamp | None:
    """What changes with the directory's names; None where that cannot be relied on."""
    try:
        found = os.stat(directory)
    except OSError:
        return None
    if now - found.st_ctime_ns < _RACY_NS:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
