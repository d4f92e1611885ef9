"""Python's small objects in forked processes: pages that say what they said are shared again.

Whoever uses an object counts that in the object, and so copies its page after a fork, though the
count is soon the old one again. What a process copied for nothing, it can give back here.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from ctypes import c_int, c_void_p

from podsh import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Range = tuple[int, int]

_NAME = "podsh-pages"
_FILE = f"/memfd:{_NAME}".encode()
# offsets are addresses; what lies behind what is kept reads as zeros
_FILE_BYTES = 1 << 56
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
# of CPython's Objects/obmalloc.c: ARENA_SIZE, POOL_SIZE, POOL_OVERHEAD, ALIGNMENT,
# SMALL_REQUEST_THRESHOLD
_ARENA_BYTES, _POOL_BYTES, _POOL_HEADER = 1 << 20, 16 << 10, 48
_STEP, _SMALL_BYTES = 16, 512
# of each size; mostly a new pool is begun long before
_FILL_BYTES = 256 << 10


class Pages:
    """What the pages say now, to be made before processes are forked. For one thread."""

    __slots__ = ("_file", "_filled", "_give_back", "_trim")

    def __init__(self) -> None:
        """OSError where they cannot be kept: then nothing is given back."""
        # with Python's lock held, so that no page is written meanwhile
        library = ctypes.PyDLL(paths.monitor_library())
        keep = _prototype("podsh_pages_keep", library)
        self._give_back = _prototype("podsh_pages_give_back", library)
        self._trim = ctypes.CDLL(None).malloc_trim  # man 3 malloc_trim
        self._trim.argtypes = (ctypes.c_size_t,)
        self._filled = _fill()
        self._file = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._file, _FILE_BYTES)
            for start, end in _ranges(b""):
                if end - start >= _ARENA_BYTES:
                    keep(self._file, start, end)
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(self._file)
            raise

    def give_back(self) -> None:
        """Share again what is as it was. Not while another thread may be in a system call that
        writes to a small object: a short read, poll(2). What nobody uses goes, too."""
        self._trim(0)
        for start, end in _ranges(_FILE):
            self._give_back(self._file, start, end)


def _prototype(name: str, library: ctypes.PyDLL) -> Callable[[int, int, int], None]:
    bound = ctypes.PYFUNCTYPE(c_int, c_int, c_void_p, c_void_p)((name, library))

    def checked(file: int, start: int, end: int) -> None:
        if code := bound(file, start, end):
            raise OSError(code, os.strerror(code), f"{name} {start:#x}-{end:#x}")

    return checked


def _fill() -> list[bytes]:
    """Objects for the gaps between objects: what comes later lies together, on pages of its own."""
    filled = []
    # the smallest bytes take three steps
    for size in range(3 * _STEP, _SMALL_BYTES + 1, _STEP):
        for _ in range(_FILL_BYTES // size):
            filled.append(bytes(size - bytes.__basicsize__))
            if id(filled[-1]) % _POOL_BYTES == _POOL_HEADER:
                break
    return filled


def _ranges(name: bytes) -> list[Range]:
    """Writable private mappings of the file whose name begins so; "": of none."""
    with open("/proc/self/maps", "rb", buffering=0) as file:
        lines = file.readall().split(b"\n")
    found = []
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) < 5 or fields[1] != b"rw-p":
            continue
        mapped = fields[5] if len(fields) > 5 else b""
        if mapped.startswith(name) and bool(mapped) == bool(name):
            start, _, end = fields[0].partition(b"-")
            found.append((int(start, 16), int(end, 16)))
    return found
