"""File descriptors: one owner each, passing over UNIX sockets, memfds, pidfds, peers' identity."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct

from podsh.errors import UntrustedInput
from podsh.kernel.uapi import SO_PEERPIDFD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# struct ucred { pid_t pid; uid_t uid; gid_t gid; }  man 7 unix
_NONE_LEFT = (errno.EMFILE, errno.ENFILE)  # descriptors
_UCRED = struct.Struct("=iII")


class OwnedFd:
    """A descriptor with one owner. ``fileno()`` is -1 once closed or taken.

    Forgotten ones are closed with a ResourceWarning, as sockets and files are.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def take(self) -> int:
        """Hand the descriptor over: the caller owns the integer from here on."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        """Close it if it is still owned."""
        if (fd := self.take()) >= 0:
            os.close(fd)

    def __enter__(self) -> OwnedFd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._fd >= 0:
            import warnings

            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        return f"OwnedFd({self._fd})"


def close_all(owned: Sequence[OwnedFd]) -> None:
    """Close each of them."""
    for fd in owned:
        fd.close()


# ---------------------------------------------------------------- passing


class Received:
    """One message: ``data`` (empty at the end of stream), its descriptors, already owned, and
    the sender's ``(pid, uid, gid)`` if the socket has SO_PASSCRED, else None."""

    __slots__ = ("credentials", "data", "fds")

    def __init__(
        self, data: bytes, fds: list[OwnedFd], credentials: tuple[int, int, int] | None
    ) -> None:
        self.data = data
        self.fds = fds
        self.credentials = credentials


def send_fds(sock: socket.socket, data: bytes, fds: Sequence[int]) -> int:
    """Send ``data`` (at least a byte) with copies of ``fds``; returns the bytes sent.

    On a stream the descriptors travel with the first byte, whatever the count returned.
    """
    if not fds:
        return sock.send(data)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))
    return sock.sendmsg([data], [rights], socket.MSG_NOSIGNAL)


def receive(sock: socket.socket, size: int, max_fds: int) -> Received:
    """One recvmsg: at most ``size`` bytes and ``max_fds`` descriptors, close-on-exec.

    Raises UntrustedInput, with everything that came along closed, where the message did not
    fit; BlockingIOError and the like as recvmsg does.
    """
    space = socket.CMSG_SPACE(max_fds * 4) + socket.CMSG_SPACE(_UCRED.size)
    data, ancillary, flags, _ = sock.recvmsg(size, space, socket.MSG_CMSG_CLOEXEC)
    fds: list[OwnedFd] = []
    credentials = None
    for level, kind, payload in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            fds += map(OwnedFd, struct.unpack_from(f"{len(payload) // 4}i", payload))
        elif kind == socket.SCM_CREDENTIALS and len(payload) >= _UCRED.size:
            credentials = _UCRED.unpack_from(payload)
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or len(fds) > max_fds:
        close_all(fds)
        what = "descriptors" if flags & socket.MSG_CTRUNC or len(fds) > max_fds else "data"
        raise UntrustedInput(f"a message with more {what} than allowed")
    return Received(data, fds, credentials)


def recv_fds(sock: socket.socket, size: int, max_fds: int) -> tuple[bytes, list[OwnedFd]]:
    """``receive`` without the credentials."""
    got = receive(sock, size, max_fds)
    return got.data, got.fds


def memfd(data: bytes) -> OwnedFd:
    """A descriptor to read ``data`` from, of no file (man 2 memfd_create)."""
    fd = OwnedFd(os.memfd_create("podsh", os.MFD_CLOEXEC))
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd.fileno(), view) :]
    except BaseException:
        fd.close()
        raise
    return fd


# ---------------------------------------------------------------- processes


def pidfd_open(pid: int) -> OwnedFd:
    """man 2 pidfd_open; ProcessLookupError if there is no such process."""
    return OwnedFd(os.pidfd_open(pid))


def pidfd_send_signal(pidfd: int, signo: int) -> None:
    """man 2 pidfd_send_signal; ProcessLookupError once it has ended and been reaped."""
    signal.pidfd_send_signal(pidfd, signo)


def pidfd_pids(pidfd: int) -> tuple[int, ...]:
    """The process's pid in /proc's namespace and then in each one nested in that, down to its own.

    From the ``NSpid`` of /proc/self/fdinfo (man 2 pidfd_open), which asks for no permission.
    Empty if the process has been reaped, or lies outside that namespace.
    """
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("NSpid:"):
                pids = tuple(map(int, line.split()[1:]))
                return pids if pids and pids[0] > 0 else ()
    return ()


# ---------------------------------------------------------------- who is at the other end


class Peer:
    """Who connected. ``pid`` is 0 where the peer's pid namespace is not ours or below ours;
    ``pidfd`` is None where the process has ended; the holder closes it."""

    __slots__ = ("gid", "pid", "pidfd", "uid")

    def __init__(self, pid: int, uid: int, gid: int, pidfd: OwnedFd | None) -> None:
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.pidfd = pidfd

    def close(self) -> None:
        if self.pidfd is not None:
            self.pidfd.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def peer(sock: socket.socket) -> Peer:
    """The process that connected (or made the pair), as the kernel noted it then.

    SO_PEERPIDFD (Linux 6.5) pins it; below that, pidfd_open on its pid, which by then may be
    another process of the same number.
    """
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    pidfd = None
    try:
        pidfd = OwnedFd(sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
    except OSError as exc:
        if exc.errno in _NONE_LEFT:
            raise
        if pid > 0:
            try:
                pidfd = pidfd_open(pid)
            except ProcessLookupError:
                pidfd = None
    return Peer(pid, uid, gid, pidfd)


def check_peer(sock: socket.socket) -> None:
    """Raise UntrustedInput unless the peer is this user (or root) and in our own pid namespace.

    A process in a pod has a pid namespace of its own and is refused; so is one that cannot be
    looked at, or has ended already.
    """
    with peer(sock) as found:
        if found.uid not in (os.geteuid(), 0):
            raise UntrustedInput(f"a peer of uid {found.uid} is refused")
        if found.pidfd is None:
            raise UntrustedInput("a peer that has ended is refused")
        try:
            theirs = pidfd_pids(found.pidfd.fileno())
            with pidfd_open(os.getpid()) as own:
                ours = pidfd_pids(own.fileno())
        except OSError as exc:
            if exc.errno in _NONE_LEFT:
                raise
            raise UntrustedInput(f"a peer that cannot be looked at is refused: {exc}") from None
        # SO_PEERCRED gave its pid in our namespace: it is in ours or below, and below is deeper
        if found.pid <= 0 or not theirs or len(theirs) != len(ours) or theirs[-1] != found.pid:
            raise UntrustedInput("a peer in another pid namespace (inside a pod?) is refused")


def raise_nofile() -> int:
    """Raise the soft RLIMIT_NOFILE to the hard one; returns the limit that holds now."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # a hard limit above fs.nr_open cannot be taken up
        return soft
    return hard
