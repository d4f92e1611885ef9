"""Host paths to held descriptors: each path is walked once, what was found is what is used."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from podsh.errors import LaunchFailed
from podsh.globs import is_glob, matches
from podsh.kernel import mounts
from podsh.kernel.uapi import AT_FDCWD, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

_O_PATH = os.O_PATH | os.O_CLOEXEC
_STRAIGHT = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
# as the kernel: MAXSYMLINKS, linux/namei.h
_MAX_LINKS = 40


class Found(NamedTuple):
    """A host object: an O_PATH descriptor (the caller's to close), its path without links,
    and the links on the way as (path, target text)."""

    fd: int
    path: str
    links: tuple[tuple[str, str], ...]


def find(path: str, names: Names | None = None) -> Found | None:
    """The object at an absolute host path, or None where there is none.

    names: what is known of directories already; of many paths most are ruled out by it.

    Raises LaunchFailed for what cannot be walked (permission, loop of links).
    """
    if not (os.path.lexists(path) if names is None else names.may_have(path)):
        return None
    return walk(path)


def walk(path: str) -> Found | None:
    """As ``find``, of a path that mostly is there."""
    links: list[tuple[str, str]] = []
    for _ in range(_MAX_LINKS):
        try:
            fd = mounts.openat2(AT_FDCWD, path, _O_PATH, resolve=_STRAIGHT)
            return Found(fd, path, tuple(links))
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            if exc.errno != errno.ELOOP:
                raise LaunchFailed(os.strerror(exc.errno or 0), place=f"open {path}") from None
        # if a component changes between this walk and the straight open, that one finds out
        path = _walk(path, links)
    raise LaunchFailed("too many levels of links", place=f"open {path}")


def _walk(path: str, links: list[tuple[str, str]]) -> str:
    """``path`` with every symbolic link on it followed; each link met is noted in ``links``."""
    done: list[str] = []
    ahead = path.strip("/").split("/")[::-1]
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = "/" + "/".join([*done, part])
        try:
            target = os.readlink(here)
        except OSError:
            done.append(part)
            continue
        if len(links) >= _MAX_LINKS:
            raise LaunchFailed("too many levels of links", place=f"open {path}")
        links.append((here, target))
        if target.startswith("/"):
            done = []
        ahead += target.split("/")[::-1]
    return "/" + "/".join(done)


def absent(path: str) -> bool:
    """Whether there is surely nothing of that name, not even a link."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def below(path: str, directory: str) -> bool:
    """Whether ``path`` lies strictly below ``directory`` (both without links, normalised)."""
    return path.startswith(directory.rstrip("/") + "/") and path != directory


class Names:
    """What directories contain, each read once: most of many paths are ruled out by that."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str] | None] = {}

    def of(self, directory: str) -> frozenset[str] | None:
        """Its names; empty if it is not there, None if it cannot be read."""
        if directory not in self._known:
            self._known[directory] = self._read(directory)
        return self._known[directory]

    def _read(self, directory: str) -> frozenset[str] | None:
        try:
            return frozenset(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError:
            return None

    def may_have(self, path: str) -> bool:
        """False where there is no such name, without a call for each."""
        parent, _, name = path.rpartition("/")
        names = self.of(parent or "/")
        return names is None or name in names


def expand(pattern: str, known: Names) -> list[str]:
    """The existing paths that an absolute pattern names; one without ``*`` and ``?`` is itself."""
    if not is_glob(pattern):
        return [pattern]
    plain, _, _ = _literal(pattern).rpartition("/")
    found = [plain or "/"]
    for part in pattern[len(plain) + 1 :].split("/"):
        if not is_glob(part):
            found = [os.path.join(path, part) for path in found]
            continue
        matched: list[str] = []
        start = _literal(part)
        for path in found:
            matched += [
                os.path.join(path, name)
                for name in known.of(path) or ()
                if name.startswith(start) and matches(name, part)
            ]
        found = matched
    return found


def _literal(pattern: str) -> str:
    """What stands before the first ``*`` or ``?``: the cheap half of a match."""
    return pattern[: min(pattern.find(c) % (len(pattern) + 1) for c in "*?")]
