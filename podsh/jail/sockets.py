"""Addresses of UNIX sockets as a pod's program means them: to the object that is there, held."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from podsh.errors import LaunchFailed
from podsh.jail.hidden import joined, lies_in
from podsh.jail.resolve import find
from podsh.kernel import mounts
from podsh.kernel.fds import OwnedFd
from podsh.kernel.uapi import (
    AT_FDCWD,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
)

_O_PATH = os.O_PATH | os.O_CLOEXEC
_TRIES = 8  # a rename somewhere while ".." is walked: man 2 openat2, EAGAIN
# what no grant mends is not looked for on the host
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
# how programs name what is too long for an address: below a directory that they hold
_HANDLES = (b"/proc/self/fd/", b"/proc/thread-self/fd/")
_DIGITS = 9


class File(NamedTuple):
    """The file of a socket. ``path``: of it on the host, without links; "" if it has none there.

    visible: it is in the pod. settled: only the host says what lies at that path; else the pod,
    which may rename what is in a writable directory, says so too.
    """

    fd: OwnedFd
    path: str
    visible: bool
    settled: bool


class Way:
    """A thread's ``path`` and where it begins, held: to be walked, also in another thread. Owns
    its descriptors."""

    def __init__(self, tid: int, path: bytes) -> None:
        """OSError: as its own connect(2) would say."""
        self._path = path
        self._base: OwnedFd | None = None  # None: the path is absolute
        if (handle := _handle(path)) is not None:
            number, self._path = handle
            self._base = OwnedFd(os.open(f"/proc/{tid}/fd/{number}", _O_PATH))
        elif not path.startswith(b"/"):
            self._base = OwnedFd(os.open(f"/proc/{tid}/cwd", _O_PATH))
        try:
            self._root = OwnedFd(os.open(f"/proc/{tid}/root", _O_PATH))
        except BaseException:
            self.close()
            raise

    def walk(self) -> OwnedFd:
        """What it names, links followed, as O_PATH descriptor. OSError as above."""
        root, path = self._root.fileno(), self._path
        if self._base is None:
            return OwnedFd(_walk(root, path, RESOLVE_IN_ROOT))
        base = self._base.fileno()
        if not path:
            return OwnedFd(os.dup(base))
        try:
            return OwnedFd(_walk(base, path, RESOLVE_BENEATH))
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
        # it leaves that directory: from the root, by the directory's name
        name = os.fsencode(os.readlink(f"/proc/self/fd/{base}"))
        return OwnedFd(_walk(root, name + b"/" + path, RESOLVE_IN_ROOT))

    def close(self) -> None:
        """Let go of where it begins."""
        if self._base is not None:
            self._base.close()
        root: OwnedFd | None = getattr(self, "_root", None)
        if root is not None:
            root.close()


def is_socket(fd: OwnedFd) -> bool:
    """Whether what is held is a socket's file."""
    return stat.S_ISSOCK(os.fstat(fd.fileno()).st_mode)


def on_host(fd: OwnedFd, tid: int) -> File:
    """A socket's file that the pod sees, as the host names it."""
    held = fd.fileno()
    status = os.fstat(held)
    settled = bool(os.fstatvfs(held).f_flag & os.ST_RDONLY) and _is_settled(held, tid)
    for path in (os.readlink(f"/proc/self/fd/{held}"), *_elsewhere(held, tid)):
        try:
            same = mounts.openat2(
                AT_FDCWD, path, _O_PATH, resolve=RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
            )
        except OSError:
            continue
        with OwnedFd(same):
            if os.path.samestat(os.fstat(same), status):
                return File(fd, path, True, settled)
    return File(fd, "", True, settled)


def beyond(tid: int, path: bytes) -> File | None:
    """The host's socket at a path that is not there in the pod."""
    text = os.fsdecode(path)
    try:
        if not text.startswith("/"):
            text = os.path.join(os.readlink(f"/proc/{tid}/cwd"), text)
        found = find(text) if text.startswith("/") else None
    except (LaunchFailed, OSError):
        return None
    if found is None:
        return None
    fd = OwnedFd(found.fd)
    if not stat.S_ISSOCK(os.fstat(found.fd).st_mode):
        fd.close()
        return None
    return File(fd, found.path, False, _is_settled(found.fd, tid))


def _is_settled(fd: int, tid: int) -> bool:
    """Whether the pod has no mount by which it could put another file at the place of this one:
    what it may not write here, or does not see, it may have elsewhere and writable."""
    name, ident = os.readlink(f"/proc/self/fd/{fd}"), mounts.number(fd)
    theirs = mounts.listing(tid)
    own = next((m for m in (*theirs, *mounts.listing()) if m.id == ident), None)
    if own is None or not lies_in(name, own.point):
        return False
    inner = joined(own.root, name[len(own.point.rstrip("/")) :])
    return not any(
        mount.device == own.device
        and "rw" in mount.options
        and inner != mount.root
        and lies_in(inner, mount.root)
        for mount in theirs
    )


def _handle(path: bytes) -> tuple[int, bytes] | None:
    for front in _HANDLES:
        if path.startswith(front):
            number, _, rest = path[len(front) :].partition(b"/")
            if number.isdigit() and len(number) <= _DIGITS:
                return int(number), rest.lstrip(b"/")
    return None


def _walk(dirfd: int, path: bytes, scope: int) -> int:
    for _ in range(_TRIES):
        try:
            return mounts.openat2(dirfd, path, _O_PATH, resolve=scope | RESOLVE_NO_MAGICLINKS)
        except OSError as exc:
            if exc.errno != errno.EAGAIN:
                raise
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


def is_missing(exc: OSError) -> bool:
    """Whether a walk found nothing, where the host may have something."""
    return exc.errno in _MISSING


def _elsewhere(fd: int, tid: int) -> list[str]:
    """The host's paths of what the pod sees at a path of another name, by the mounts."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    ident = int(fields["mnt_id"])
    theirs = next((m for m in mounts.listing(tid) if m.id == ident), None)
    name = os.readlink(f"/proc/self/fd/{fd}")
    if theirs is None or not lies_in(name, theirs.point):
        return []
    inner = joined(theirs.root, name[len(theirs.point.rstrip("/")) :])
    return [
        joined(mount.point, inner[len(mount.root.rstrip("/")) :])
        for mount in mounts.listing()
        if mount.device == theirs.device and lies_in(inner, mount.root)
    ]
