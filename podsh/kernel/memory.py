"""Reading another process's memory: process_vm_readv. Needs ptrace access (Yama scope <= 2)."""

from __future__ import annotations

import ctypes

from podsh.kernel.raw import function


class _IoVec(ctypes.Structure):
    # struct iovec { void *iov_base; size_t iov_len; }  man 3 iovec
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_readv = function(
    "process_vm_readv",
    ctypes.c_ssize_t,
    ctypes.c_int,
    ctypes.POINTER(_IoVec),
    ctypes.c_ulong,
    ctypes.POINTER(_IoVec),
    ctypes.c_ulong,
    ctypes.c_ulong,
)


def process_vm_readv(pid: int, address: int, size_bytes: int) -> bytes:
    """man 2 process_vm_readv: at most ``size_bytes`` from ``address``; shorter where the mapping
    ends before that. OSError: EFAULT (nothing mapped), EPERM, ESRCH."""
    buffer = ctypes.create_string_buffer(size_bytes)
    local = _IoVec(ctypes.addressof(buffer), size_bytes)
    # one element per page: the kernel stops between elements, so a string that ends before an
    # unmapped page is still read
    pieces = []
    at, end = address, address + size_bytes
    while at < end:
        upto = min(end, (at | 0xFFF) + 1)
        pieces.append(_IoVec(at, upto - at))
        at = upto
    remote = (_IoVec * len(pieces))(*pieces)
    count = _readv(pid, ctypes.byref(local), 1, remote, len(pieces), 0)
    return buffer.raw[:count]
