"""Reading a file that may be hostile: regular files only, of a bounded size, whole UTF-8."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from podsh.errors import UsageError

MAX_BYTES = 1 << 20


class Stamp(NamedTuple):
    """What tells two versions of a file apart, without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def stamp(path: str) -> Stamp:
    """The stamp of the file at ``path`` now. Raises OSError."""
    return _stamp(os.stat(path))


def read(path: str) -> tuple[str, Stamp]:
    """The text of the profile at ``path`` and the stamp of what was read.

    Raises UsageError, one line, for everything that is not a readable regular file of at most
    MAX_BYTES in UTF-8 without NUL. Never blocks, and opens no device.
    """
    try:
        # opening a device can act on it: look before
        _only_regular(os.stat(path), path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            _only_regular(found, path)
            data = _read_all(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        hint = "see: podsh profile list" if isinstance(exc, FileNotFoundError) else ""
        reason = exc.strerror or str(exc)
        raise UsageError(f"cannot be read: {reason}", place=path, hint=hint) from None
    except ValueError as exc:  # a NUL in the path
        raise UsageError(f"is no path: {exc}", place=ascii(path)) from None
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"is larger than {MAX_BYTES >> 10} KiB", place=path, hint="is this a profile?"
        )
    return _decode(data, path), _stamp(found)


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _only_regular(found: os.stat_result, path: str) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "no file")
    raise UsageError(f"is {kind}, not a file", place=path, hint="name a profile's file")


def _read_all(fd: int) -> bytes:
    """At most MAX_BYTES + 1: files of procfs tell no size."""
    parts = []
    left = MAX_BYTES + 1
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _decode(data: bytes, path: str) -> str:
    at = data.find(b"\0")
    if at >= 0:
        line = data.count(b"\n", 0, at) + 1
        raise UsageError(
            f"byte {at} is NUL", place=f"{path}:{line}", hint="a profile is text; remove it"
        )
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise UsageError(
            f"byte {exc.start} (0x{data[exc.start]:02x}) is not UTF-8",
            place=f"{path}:{line}",
            hint="save the file as UTF-8",
        ) from None
