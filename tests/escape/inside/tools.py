"""What attempts share: facts about the host, and system calls by name."""

from __future__ import annotations

import ctypes
import os
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)

# given by the test: paths, pids, names and numbers of the host ("calls": system call numbers)
facts: dict[str, Any] = {}


def call(name: str | int, *arguments: int | bytes | ctypes.Array[Any] | None) -> int:
    """A raw system call. Raises OSError."""
    number = name if isinstance(name, int) else facts["calls"][name]
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def reaches(errnos: tuple[int, ...], name: str | int, *arguments: Any) -> str:
    """Whether the call is carried out as far as looking at its (bad) arguments: one of ``errnos``.

    For calls that are too dangerous, or too long-winded, to be made in earnest.
    """
    try:
        return f"gave {call(name, *arguments)}"
    except OSError as exc:
        if exc.errno in errnos:
            return f"reached: {exc}"
        raise


def read(path: str, size: int = 4096) -> bytes:
    """The beginning of a file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


def opens(path: str, flags: int) -> bool:
    """Whether ``path`` opens so; nothing is written. Raises OSError."""
    os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY))
    return True
