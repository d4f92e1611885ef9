"""More of the host for a live pod: the object that was named is held, cloned, masked, and sent.

A grant is assembled whole before init attaches it: what is hidden below it is never seen for a
moment. That takes mounts onto detached trees (Linux 6.15); before, a grant with something to
hide below it is refused.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from podsh.errors import KernelLacks, LaunchFailed, UsageError
from podsh.jail.build import clone, hidden_paths, kernel_below
from podsh.jail.resolve import Names, below, find
from podsh.kernel import mounts
from podsh.kernel.uapi import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    OPEN_TREE_CLONE,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podsh.operations import Hide

_INSIDE = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
_STRAIGHT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


class Grant(NamedTuple):
    """An assembled grant: ``tree``, a detached mount, the caller's to close once it is attached;
    ``src`` on the host without links, ``dst`` in the pod."""

    tree: int
    src: str
    dst: str
    is_dir: bool


def assemble(src: str, dst: str | None, write: bool, hides: Iterable[Hide]) -> Grant:
    """The tree of the host object that ``src`` names now, ready to be attached.

    dst None: at its path without links. Raises UsageError for what is never granted or hidden,
    KernelLacks where something below would have to be hidden and cannot be.
    """
    if not src.startswith("/") or "\0" in src:
        raise UsageError("is not an absolute path", place=ascii(src))
    found = find(os.path.normpath(src))
    if found is None:
        raise UsageError("no such file or directory on the host", place=src)
    try:
        of_kernel = mounts.kernel_mounts()
        is_dir = _check(found.fd, found.path, of_kernel)
        inside = list(kernel_below(found.path, of_kernel))
        for path, is_hidden_dir, where in hidden_paths(hides, Names()):
            if found.path == path or below(found.path, path):
                raise UsageError(f"is hidden from every pod ({where})", place=found.path)
            if below(path, found.path):
                inside.append((path[len(found.path) + 1 :], is_hidden_dir))
        attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (0 if write else MOUNT_ATTR_RDONLY)
        tree = clone(found.fd, attrs)
        try:
            _mask(tree, inside, attrs, write)
        except OSError as exc:
            os.close(tree)
            if exc.errno != errno.EINVAL:
                raise LaunchFailed(os.strerror(exc.errno or 0), place=f"mask {src}") from None
            raise KernelLacks(
                "a grant with something hidden below it needs Linux 6.15",
                place=found.path,
                hint="grant the directories in it that are needed",
            ) from None
    finally:
        os.close(found.fd)
    return Grant(tree, found.path, dst if dst is not None else found.path, is_dir)


def _check(fd: int, path: str, of_kernel: list[tuple[str, str, int]]) -> bool:
    """Whether it is a directory. Raises UsageError for what no pod is given."""
    status = os.fstat(fd)
    mode = status.st_mode
    if path == "/":
        raise UsageError("the whole of the host is never granted", place=path)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UsageError("only files and directories are granted", place=path)
    fstype = next((kind for _, kind, device in of_kernel if device == status.st_dev), "")
    if fstype:
        raise UsageError(f"lies on {fstype}, which is never granted", place=path)
    return stat.S_ISDIR(mode)


def _mask(tree: int, inside: list[tuple[str, bool]], attrs: int, write: bool) -> None:
    """Put something empty over each path of ``inside`` in the detached ``tree``.

    Below a writable one each directory on the way is bound onto itself first: a mount point
    cannot be renamed, so the pod cannot move the mask aside.
    """
    if not inside:
        return
    done: set[str] = set()
    for rest, _ in sorted(inside) if write else ():
        parts = rest.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            inner = "/".join(parts[:count])
            if inner not in done:
                done.add(inner)
                _put(tree, inner, lambda at: clone(at, attrs))
    empty = mounts.tmpfs(1 << 12, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
    try:
        os.mkdir("d", 0, dir_fd=empty)
        os.close(os.open("f", os.O_CREAT | os.O_CLOEXEC | os.O_WRONLY, 0, dir_fd=empty))
        mounts.mount_setattr(empty, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, recursive=False)
        for name, wanted in (("d", True), ("f", False)):
            for rest, is_dir in sorted(inside):
                if is_dir == wanted:
                    _put(tree, rest, functools.partial(_copy, empty, name))
    finally:
        os.close(empty)


def _copy(empty: int, name: str, _at: int) -> int:
    return mounts.open_tree(empty, name, OPEN_TREE_CLONE)


def _put(tree: int, rest: str, make: Callable[[int], int]) -> None:
    """Attach what ``make`` gives for the object at ``rest`` in the detached ``tree`` onto it."""
    at = mounts.openat2(tree, rest, _INSIDE, resolve=_STRAIGHT)
    try:
        mount = make(at)
        try:
            mounts.attach(mount, at)
        finally:
            os.close(mount)
    finally:
        os.close(at)
