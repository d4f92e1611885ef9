"""Files of the administrator's: root's alone to change, with all directories that lead there."""

from __future__ import annotations

import os
import stat

from podsh.errors import UsageError

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_MEND = "chown root:root {0}; chmod go-w {0}"


def open_file(path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at ``path``, absolute; no link leads there.

    Raises FileNotFoundError where there is none, other OSErrors, and UsageError where anybody
    but root could have changed it or what is above it.
    """
    parts = [part for part in path.split("/") if part]
    at = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(at, "/")
        for count, part in enumerate(parts, 1):
            last = count == len(parts)
            found = "/" + "/".join(parts[:count])
            # looked at before it is opened: a fifo would hold us, a device may do something
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
            _check(at, found)
            mode = os.fstat(at).st_mode
            if not (stat.S_ISREG(mode) if last else stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "no " + ("file" if last else "directory")
                raise UsageError(f"is {kind}", place=found)
        if flags & os.O_PATH:
            return os.dup(at)
        return os.open(f"/proc/self/fd/{at}", flags | os.O_CLOEXEC)
    finally:
        os.close(at)


def _check(fd: int, path: str) -> None:
    status = os.fstat(fd)
    if stat.S_ISLNK(status.st_mode):
        return  # it is refused as what it is
    if status.st_uid != 0 or status.st_mode & _WRITABLE:
        who = "does not belong to root" if status.st_uid != 0 else "can be written by others"
        raise UsageError(who, place=path, hint=f"as root: {_MEND.format(path)}")
