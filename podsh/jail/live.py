"""A live pod's files as its programs see them, looked at from outside.

What is found here is what is asked for, never what decides: the kernel resolves the path again
when the call goes on, by what is mounted then.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from podsh.kernel import mounts
from podsh.kernel.uapi import AT_FDCWD, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS

_O_PATH = os.O_PATH | os.O_CLOEXEC
_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_MAX_LINKS = 40  # as the kernel: MAXSYMLINKS, linux/namei.h
_READABLE = 0o444
_ST_RDONLY = os.ST_RDONLY


class Seen(NamedTuple):
    """What a path is in the pod. ``path``: without links, as the pod would name it.

    here: it is there. Else ``path`` is the name that is missing, and ``base`` the directory above
    the first missing component, "" where that is only a placeholder.
    readonly: what is there, or ``base``, is on a read-only mount.
    """

    path: str
    here: bool
    readonly: bool
    is_dir: bool
    base: str


class Live:
    """Looks at one pod. ``root``: an O_PATH descriptor of the root of its mount namespace, which
    it owns. ``of_its_own_root``: programs may have made other roots ([seccomp] nesting)."""

    def __init__(self, root: int, of_its_own_root: bool = False) -> None:
        self.root = root
        # devices of the pod's own tmpfs, in which places to mount on are made
        self.own = {os.fstat(root).st_dev}
        # devices of what hides paths: what lies there counts as absent
        self.masks: set[int] = set()
        self.nested = of_its_own_root

    @classmethod
    def of(cls, init_pid: int, nested: bool = False) -> Live:
        return cls(os.open(f"/proc/{init_pid}/root", _O_PATH | os.O_DIRECTORY), nested)

    @classmethod
    def to_be(cls, init_pid: int) -> Live:
        """Of a pod that is prepared: what is now at STAGING will be its root, with what is in the
        template for its masks (podsh/native/init/jail.h)."""
        live = cls(os.open(f"/proc/{init_pid}/root/s", _O_PATH | os.O_DIRECTORY))
        live.masks.add(os.stat(f"/proc/{init_pid}/root/f").st_dev)
        return live

    def close(self) -> None:
        os.close(self.root)

    def device(self, path: str) -> set[int]:
        """The device of what is at ``path``; none where nothing is."""
        try:
            fd = mounts.openat2(self.root, path, _O_PATH, resolve=_IN_ROOT)
        except OSError:
            return set()
        found = {os.fstat(fd).st_dev}
        os.close(fd)
        return found

    def absolute(self, pid: int, dirfd: int, path: str) -> str | None:
        """``path`` from the pod's root. None where there is nothing to ask for: in procfs, or
        relative to what has no name. OSError: the process is gone."""
        if not path.startswith("/"):
            at = "cwd" if dirfd == AT_FDCWD else f"fd/{dirfd}"
            base = os.readlink(f"/proc/{pid}/{at}")
            if not base.startswith("/"):
                return None  # a pipe, a socket
            path = f"{base}/{path}"
        for _ in range(_MAX_LINKS):
            if not path.startswith("/proc/"):
                return path
            magic = _magic(path, pid)
            if magic is None:
                return None
            link, rest = magic
            if link:
                target = os.readlink(link)
                if not target.startswith("/"):
                    return None
                path = f"{target}/{rest}" if rest else target
            else:
                path = f"/{rest}"
        return None

    def look(self, pid: int, path: str, follow: bool = True) -> Seen | None:
        """The object that an absolute ``path`` names for ``pid``. None: nothing to ask for (an
        error that no grant mends, a file of the kernel's)."""
        if not self.nested:
            return self._look(self.root, path, follow)
        root = os.open(f"/proc/{pid}/root", _O_PATH)
        try:
            return self._look(root, path, follow)
        finally:
            os.close(root)

    def _look(self, root: int, path: str, follow: bool) -> Seen | None:
        flags = _O_PATH if follow else _O_PATH | os.O_NOFOLLOW
        for _ in range(_MAX_LINKS):
            try:
                fd = mounts.openat2(root, path, flags, resolve=_IN_ROOT)
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                    return None
            else:
                try:
                    return self._found(fd)
                finally:
                    os.close(fd)
            seen = self._missing(root, path, follow)
            if not isinstance(seen, str):
                return seen
            path = seen  # a link that leads to what is missing was followed
        return None

    def _found(self, fd: int) -> Seen | None:
        status = os.fstat(fd)
        name = os.readlink(f"/proc/self/fd/{fd}")
        is_dir = stat.S_ISDIR(status.st_mode)
        if self._hollow(status):
            return Seen(name, False, True, is_dir, "")
        readonly = bool(os.fstatvfs(fd).f_flag & _ST_RDONLY)
        return Seen(name, True, readonly, is_dir, "")

    def _hollow(self, status: os.stat_result) -> bool:
        """A placeholder, or what hides a path."""
        if status.st_dev in self.own:
            return not status.st_mode & _READABLE
        return status.st_dev in self.masks

    def _missing(self, root: int, path: str, follow: bool) -> Seen | str | None:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        low, high = 0, len(parts) - 1  # the root is there; the whole is not
        fd = mounts.openat2(root, ".", _O_PATH | os.O_DIRECTORY, resolve=_IN_ROOT)
        try:
            # by halves: a hostile path has hundreds of components, each a link
            while low < high:
                middle = (low + high + 1) // 2
                try:
                    deeper = mounts.openat2(
                        root,
                        "/".join(parts[:middle]),
                        _O_PATH | os.O_DIRECTORY,
                        resolve=_IN_ROOT,
                    )
                except OSError:
                    high = middle - 1
                    continue
                os.close(fd)
                fd, low = deeper, middle
            status = os.fstat(fd)
            base = os.readlink(f"/proc/self/fd/{fd}")
            if base == "/proc" or base.startswith("/proc/"):
                return None
            name, rest = parts[low] if parts else "", parts[low + 1 :]
            if rest or follow:
                try:
                    target = os.readlink(name, dir_fd=fd)
                except OSError:
                    pass
                else:
                    start = target if target.startswith("/") else f"{base}/{target}"
                    return "/".join((start, *rest))
            missing = os.path.normpath("/".join((base.rstrip("/"), name, *rest)))
            readonly = bool(os.fstatvfs(fd).f_flag & _ST_RDONLY)
            direct = not rest and not self._hollow(status)
            return Seen(missing, False, readonly, False, base if direct else "")
        finally:
            os.close(fd)


def _magic(path: str, pid: int) -> tuple[str, str] | None:
    """A magic link at the front of a path of procfs, as (the link from here, the rest behind it);
    the link is "" for a root, which is the pod's. None: any other file of procfs."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(parts) < 3 or ".." in parts[:4]:
        return None
    who = parts[1]
    if who == "thread-self" or who == "self":
        rest = parts[2:]
    elif who.isdigit():
        return None  # of another: the number is one of the pod's own
    else:
        return None
    if rest[0] == "task" and len(rest) > 2:
        rest = rest[2:]
    if rest[0] == "root":
        return "", "/".join(rest[1:])
    if rest[0] == "cwd":
        return f"/proc/{pid}/cwd", "/".join(rest[1:])
    if rest[0] == "fd" and len(rest) > 1 and rest[1].isdigit():
        return f"/proc/{pid}/fd/{rest[1]}", "/".join(rest[2:])
    return None
