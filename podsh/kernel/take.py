"""Reading a pty in large pieces (native/monitor)."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, addressof, byref, c_char, c_int, c_size_t

from podsh import paths

_library = ctypes.CDLL(paths.monitor_library())
_taken = addressof(c_char.in_dll(_library, "podsh_taken"))
_take = _library.podsh_take
_take.restype, _take.argtypes = c_int, (c_int, POINTER(c_size_t))
_got = c_size_t()


def take(fd: int) -> tuple[bytes, bool]:
    """(what is there to be read from a pty master that does not block, 64 KiB at most; whether
    nothing more can come). In one thread."""
    error = _take(fd, byref(_got))
    return ctypes.string_at(_taken, _got.value), bool(error)
