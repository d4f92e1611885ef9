"""Sockets of other processes: a copy of one, a connect made on it, and who listens where."""

from __future__ import annotations

import _thread
import ctypes
import errno
import fcntl
import os
import socket
import struct

from podsh.kernel import tasks
from podsh.kernel.fds import OwnedFd
from podsh.kernel.raw import function, system_call

PIDFD_THREAD = os.O_EXCL  # <linux/pidfd.h>: Linux 6.9
SIOCGSKNS = 0x894C  # <linux/sockios.h>

_getfd = system_call("pidfd_getfd", ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_connect = function("connect", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_fstatfs = function("fstatfs", ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
_setns = function("setns", ctypes.c_int, ctypes.c_int, ctypes.c_int)


def borrow(tid: int, number: int) -> OwnedFd:
    """man 2 pidfd_getfd: a copy of descriptor ``number`` of the thread. OSError: EBADF, ESRCH,
    EPERM.

    Before Linux 6.9 it is its process's: not the same where the thread has descriptors of its own
    (CLONE_FILES).
    """
    try:
        pidfd = os.pidfd_open(tid, PIDFD_THREAD)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        pidfd = os.pidfd_open(tasks.leader(tid))
    try:
        return OwnedFd(_getfd(pidfd, number, 0))
    finally:
        os.close(pidfd)


def family(fd: int) -> int:
    """The address family of a socket, AF_*. OSError: ENOTSOCK."""
    looked_at = socket.socket(fileno=fd)
    try:
        return int(looked_at.family)
    finally:
        looked_at.detach()


def gives_up(fd: int) -> bool:
    """Whether a connect on the socket ends by itself (SO_SNDTIMEO): then a signal's handler does
    not begin it again, man 7 signal."""
    looked_at = socket.socket(fileno=fd)
    try:
        return any(looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16))
    finally:
        looked_at.detach()


def connect(fd: int, address: bytes) -> int:
    """man 2 connect, to a struct sockaddr as it is: 0, or its errno; EINTR is one."""
    try:
        _connect(fd, address, len(address))
    except OSError as exc:
        return exc.errno or errno.EIO
    return 0


# ---------------------------------------------------------------- network namespaces


def namespace_of(fd: int) -> int | None:
    """Which network namespace the socket lives in, as the inode of its nsfs file; None where that
    is not for us to know: it is not one below our own user namespace."""
    try:
        namespace = fcntl.ioctl(fd, SIOCGSKNS)
    except OSError:
        return None
    try:
        return os.fstat(namespace).st_ino
    finally:
        os.close(namespace)


# <linux/sock_diag.h>, <linux/unix_diag.h>, <linux/netlink.h>
NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP = 20, 0x301
_DONE, _ERROR = 3, 2
# struct nlmsghdr { __u32 len; __u16 type, flags; __u32 seq, pid; }
_HEADER = struct.Struct("=IHHII")
# struct unix_diag_req { __u8 family, protocol; __u16 pad; __u32 states, ino, show, cookie[2]; }
_REQUEST = struct.Struct("=BBHIIIII")
_MESSAGE_BYTES = 16  # struct unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")
_VFS = 1  # UNIX_DIAG_VFS: struct unix_diag_vfs { __u32 ino, dev; }
_SHOW_VFS = 2
_LISTENING = 1 << 10  # TCP_LISTEN
_ANSWER_BYTES = 1 << 16

_EXT, _XFS = 0xEF53, 0x58465342  # <linux/magic.h>
_SMALLEST_INODE = 256


def diagnosis(namespace: int) -> socket.socket:
    """A NETLINK_SOCK_DIAG socket in the network namespace of a descriptor.

    Made by a thread of its own, which alone enters it. OSError: EPERM, or a kernel without.
    """
    made: list[socket.socket] = []
    failed: list[OSError] = []

    done = _thread.allocate_lock()
    done.acquire()

    def enter() -> None:
        try:
            _setns(namespace, 0x40000000)  # CLONE_NEWNET
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            made.append(socket.socket(socket.AF_NETLINK, kind, NETLINK_SOCK_DIAG))
        except OSError as exc:
            failed.append(exc)
        finally:
            done.release()

    _thread.start_new_thread(enter, ())
    done.acquire()
    if failed:
        raise failed[0]
    return made[0]


def listens(diag: socket.socket, path_fd: int) -> bool:
    """Whether a socket of ``diag``'s namespace listens on the very file that ``path_fd`` holds.

    The kernel says the file's number in 32 bits: False where a filesystem may have longer ones.
    """
    if not _has_short_numbers(path_fd):
        return False
    status = os.fstat(path_fd)
    device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    wanted = struct.pack("=II", status.st_ino & 0xFFFFFFFF, device & 0xFFFFFFFF)
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, _LISTENING, 0, _SHOW_VFS, 0, 0)
    length = _HEADER.size + len(request)
    diag.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + request)
    found = False
    # to the end, whatever is found: the next question is not to see the rest
    while True:
        for kind, body in _messages(diag.recv(_ANSWER_BYTES)):
            if kind == _DONE:
                return found
            if kind == _ERROR:
                return False
            found = found or _file_of(body) == wanted


def _messages(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        found.append((kind, data[at + _HEADER.size : at + length]))
        at += max(_HEADER.size, length + 3 & ~3)
    return found


def _file_of(body: bytes) -> bytes | None:
    at = _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _VFS:
            return body[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, length + 3 & ~3)
    return None


def _has_short_numbers(fd: int) -> bool:
    """Whether every inode number of the filesystem fits 32 bits: ext2 to ext4, and XFS where its
    numbers, which are places on the disk, cannot be longer."""
    buffer = ctypes.create_string_buffer(256)
    _fstatfs(fd, buffer)
    (kind,) = struct.unpack_from("=q", buffer.raw)  # struct statfs begins with long f_type
    if kind == _EXT:
        return True
    if kind != _XFS:
        return False
    size = os.fstatvfs(fd)
    return size.f_blocks * size.f_frsize // _SMALLEST_INODE < 1 << 32
