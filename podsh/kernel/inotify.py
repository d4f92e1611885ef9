"""inotify(7): to be told of what another process writes."""

from __future__ import annotations

import ctypes
import os

from podsh.kernel.raw import function

# <linux/inotify.h>
IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100

_init = function("inotify_init1", ctypes.c_int, ctypes.c_int)
_add = function("inotify_add_watch", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def watch(directory: str) -> int:
    """A descriptor that can be read whenever a file in the directory was written, made or renamed.
    It is the caller's. Raises OSError."""
    fd = _init(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _add(fd, os.fsencode(directory), IN_MODIFY | IN_MOVED_TO | IN_CREATE)
    except BaseException:
        os.close(fd)
        raise
    return fd
