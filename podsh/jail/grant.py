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
from podsh.jail import known as knowledge
from podsh.jail.bound import clone
from podsh.jail.resolve import Found, find
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

    from podsh.jail.known import Known
    from podsh.operations import Hide

_INSIDE = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
_STRAIGHT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


class Shown(NamedTuple):
    """One mount that a pod has of the host: ``src``, the object (device, inode), at ``dst`` with
    ``attrs`` of mount_setattr(2). ``own``: of podsh's state, where nothing is hidden."""

    dst: str
    src: str
    object: tuple[int, int]
    is_dir: bool
    attrs: int
    own: bool = False


class Grant(NamedTuple):
    """An assembled grant: ``tree``, a detached mount, the caller's to close once it is attached.

    inner: what the pod had below it already, and still has on it. masked: something is hidden.
    """

    tree: int
    shown: Shown
    inner: tuple[Shown, ...]
    masked: bool


def attributes(write: bool, exec: bool = True, suid: bool = False, dev: bool = False) -> int:
    """mount_setattr(2) attributes of a grant."""
    return (
        (0 if write else MOUNT_ATTR_RDONLY)
        | (0 if exec else MOUNT_ATTR_NOEXEC)
        | (0 if suid else MOUNT_ATTR_NOSUID)
        | (0 if dev else MOUNT_ATTR_NODEV)
    )


def held(path: str) -> Found:
    """The host object that a person named. Raises UsageError for what is never granted."""
    if not path.startswith("/") or "\0" in path:
        raise UsageError("is not an absolute path", place=ascii(path))
    found = find(os.path.normpath(path))
    if found is None:
        raise UsageError("no such file or directory on the host", place=path)
    return found


def assemble(
    found: Found, dst: str, attrs: int, hides: Iterable[Hide], shown: Iterable[Shown] = ()
) -> Grant:
    """The tree of the held object ``found``, ready to be attached at ``dst``.

    shown: what the pod has: whatever of it the tree would cover is put on it again.
    Raises UsageError for what is never granted or hidden, KernelLacks where something below would
    have to be put on it and cannot be.
    """
    known = knowledge.known(hides)
    status = os.fstat(found.fd)
    is_dir = _check(status, found.path, known)
    mine = Shown(dst, found.path, (status.st_dev, status.st_ino), is_dir, attrs)
    if hiding := known.hiding(found.path):
        raise UsageError(f"is hidden from every pod ({hiding[1]})", place=found.path)
    inner: list[Shown] = []
    masks: list[tuple[str, bool]] = []
    if is_dir:
        inside = f"{dst.rstrip('/')}/"
        inner += [one for one in shown if one.dst.startswith(inside) and not _covered(one, mine)]
        inner.sort(key=lambda entry: entry.dst.split("/"))
        masks += known.below(found.path)
    tree = clone(found.fd, attrs)
    try:
        _mask(tree, masks, attrs)
        inner = [entry for entry in inner if _put_again(tree, dst, entry, known)]
    except OSError as exc:
        os.close(tree)
        if exc.errno != errno.EINVAL:
            place = f"assemble {found.path}"
            raise LaunchFailed(os.strerror(exc.errno or 0), place=place) from None
        raise KernelLacks(
            "a grant with something hidden or shown below it needs Linux 6.15",
            place=found.path,
            hint="grant the directories in it that are needed",
        ) from None
    except BaseException:
        os.close(tree)
        raise
    return Grant(tree, mine, tuple(inner), bool(masks))


def _covered(entry: Shown, over: Shown) -> bool:
    """Whether the tree ``over`` shows just what ``entry`` does, by itself."""
    return over.src + entry.dst[len(over.dst) :] == entry.src and entry.attrs == over.attrs


def _put_again(tree: int, top: str, entry: Shown, known: Known) -> bool:
    """Put what the pod has at ``entry`` into the detached ``tree`` that will cover it. False
    where the host no longer has it."""
    found = find(entry.src)
    if found is None:
        return False  # not to be had again under that name
    try:
        status = os.fstat(found.fd)
        if found.path != entry.src or (status.st_dev, status.st_ino) != entry.object:
            return False  # another object has its name now
        rest = entry.dst[len(top.rstrip("/")) + 1 :]

        def made(at: int) -> int:
            del at
            inside = clone(found.fd, entry.attrs)
            try:
                _mask(inside, [] if entry.own else known.below(entry.src), entry.attrs)
            except BaseException:
                os.close(inside)
                raise
            return inside

        try:
            _put(tree, rest, made)
        except FileNotFoundError:
            raise UsageError(
                f"would cover {entry.dst}, which the pod has",
                place=top,
                hint="grant the directories in it that are needed",
            ) from None
        return True
    finally:
        os.close(found.fd)


def _check(status: os.stat_result, path: str, known: Known) -> bool:
    """Whether it is a directory. Raises UsageError for what no pod is given."""
    mode = status.st_mode
    if path == "/":
        raise UsageError("the whole of the host is never granted", place=path)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UsageError("only files and directories are granted", place=path)
    if status.st_dev in known.devices:
        fstype = next((kind for _, kind, dev in known.kernel if dev == status.st_dev), "a kernel's")
        raise UsageError(f"lies on {fstype}, which is never granted", place=path)
    return stat.S_ISDIR(mode)


def _mask(tree: int, inside: list[tuple[str, bool]], attrs: int) -> None:
    """Put something empty over each path of ``inside`` in the detached ``tree``.

    Below a writable one each directory on the way is bound onto itself first: a mount point
    cannot be renamed, so the pod cannot move the mask aside.
    """
    if not inside:
        return
    done: set[str] = set()
    for rest, _ in sorted(inside) if not attrs & MOUNT_ATTR_RDONLY else ():
        parts = rest.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            inner = "/".join(parts[:count])
            if inner not in done:
                done.add(inner)
                _put(tree, inner, lambda at: clone(at, attrs))
    for rest, is_dir in sorted(inside):
        _put(tree, rest, functools.partial(_copy, "d" if is_dir else "f"))


@functools.cache
def _empty() -> int:
    """A tmpfs with an empty directory and an empty file, which cover what is hidden."""
    empty = mounts.tmpfs(1 << 12, mounts.INERT)
    os.mkdir("d", 0, dir_fd=empty)
    os.close(os.open("f", os.O_CREAT | os.O_CLOEXEC | os.O_WRONLY, 0, dir_fd=empty))
    mounts.mount_setattr(empty, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, recursive=False)
    return empty


def mask_device() -> int | None:
    """st_dev of what covers hidden paths below grants; None where nothing was covered so far."""
    return os.fstat(_empty()).st_dev if _empty.cache_info().currsize else None


def _copy(name: str, _at: int) -> int:
    return mounts.open_tree(_empty(), name, OPEN_TREE_CLONE)


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
