"""Reading another process's memory: process_vm_readv. Needs ptrace access (Yama scope <= 2)."""

from __future__ import annotations

import ctypes

from podsh.kernel.raw import function

_PAGE = 4096
PATH_MAX = 4096  # <linux/limits.h>, the NUL included


class _IoVec(ctypes.Structure):
    # struct iovec { void *iov_base; size_t iov_len; }  man 3 iovec
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_readv = function(
    "process_vm_readv",
    ctypes.c_ssize_t,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)


class Reader:
    """Reads with buffers of its own, made once: for one thread. Every OSError is of
    process_vm_readv(2): EFAULT (nothing mapped there), EPERM, ESRCH."""

    __slots__ = ("_buffer", "_local", "_local_at", "_remote", "_remote_at")

    def __init__(self) -> None:
        # the last byte stays 0, so that .value ends
        self._buffer = ctypes.create_string_buffer(2 * _PAGE + 1)
        self._local = _IoVec(ctypes.addressof(self._buffer), 2 * _PAGE)
        self._local_at = ctypes.addressof(self._local)
        # one element per page: the kernel stops between elements, so a string that ends before
        # an unmapped page is still read
        self._remote = (_IoVec * 2)()
        self._remote_at = ctypes.addressof(self._remote)

    def path(self, pid: int, address: int) -> bytes | None:
        """The NUL-terminated string there; None where it is longer than a path can be."""
        remote = self._remote[0]
        remote.base = address
        remote.length = size = _PAGE - (address & (_PAGE - 1))
        got = _readv(pid, self._local_at, 1, self._remote_at, 1, 0)
        text = self._buffer.value
        if len(text) < got:
            return text
        if size == _PAGE or got < size:
            return None
        text = text[:got]
        remote.base, remote.length = address + size, _PAGE
        got = _readv(pid, self._local_at, 1, self._remote_at, 1, 0)
        rest = self._buffer.value
        return text + rest if len(rest) < got and len(text) + len(rest) < PATH_MAX else None

    def bytes(self, pid: int, address: int, size_bytes: int) -> bytes:
        """At most ``size_bytes`` (up to a page); shorter where the mapping ends before that."""
        pieces = 0
        at, end = address, address + min(size_bytes, _PAGE)
        while at < end:
            upto = min(end, (at | (_PAGE - 1)) + 1)
            self._remote[pieces].base, self._remote[pieces].length = at, upto - at
            at = upto
            pieces += 1
        got = _readv(pid, self._local_at, 1, self._remote_at, pieces, 0)
        return self._buffer.raw[:got]
