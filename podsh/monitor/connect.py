"""connect(2) of a pod's programs, carried out by the monitor: what was looked at is connected.

A filter cannot see an address, and a call that goes on reads it, and the descriptor, once more.
So no connect goes on: address and socket are copied, the file that the address names is held, and
the copy is connected to what is held. For every family: the descriptor may become another one
meanwhile.

To the other side the connection comes from the monitor (SO_PEERCRED: its pid, of the same user;
from within a pod that pid is 0). A program's own Landlock rules do not hold for it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from _thread import allocate_lock
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podsh.jail import sockets as addresses
from podsh.kernel import mounts, notify, shim, sockets, tasks
from podsh.kernel.fds import OwnedFd
from podsh.kernel.memory import Reader
from podsh.kernel.uapi import RESOLVE_IN_ROOT
from podsh.monitor import caller
from podsh.monitor.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from podsh.jail.sockets import File

_FAMILY = struct.Struct("=H")
_MAX_ADDRESS = 128  # sizeof(struct sockaddr_storage)
_MAX_UNIX = 110  # sizeof(struct sockaddr_un)
# what programs can have made: another family came from a process of the host's
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
# struct sockaddr_nl { __u16 family, pad; __u32 pid, groups; }
_NETLINK = struct.Struct("=HHII")


@dataclass(frozen=True, slots=True)
class Connect:
    """A held connect(2). To be approved, refused, or closed: once, from any thread.

    pid: of the thread. path: of the socket's file on the host, without links, or "@name" for an
    abstract one that is not the pod's. asked: the name that the program used, where it is another.
    visible: the pod sees the file. settled: only the host decides what lies at ``path``. Where the
    pod does so too, a permission for the path is one for ``file`` (device, inode) alone.
    ids: of a caller that acts as somebody else than the pod's owner ([caps] CAP_SETUID): the
    connection is that one's, who must get to the file by ``way`` as well.
    """

    listener: int
    id: int
    pid: int
    path: str
    asked: str
    visible: bool
    settled: bool
    file: tuple[int, int]
    address: bytes
    copy: OwnedFd
    held: OwnedFd | None
    ids: tasks.Ids | None = None
    way: addresses.Way | None = None

    def alive(self) -> bool:
        """Whether its caller still waits."""
        return notify.valid(self.listener, self.id)

    def interrupt(self) -> bool:
        """Have it end for a signal that waits: begun again if its handler says so (SA_RESTART)."""
        self.close()
        return notify.refuse(self.listener, self.id, notify.ERESTARTSYS)

    def close(self) -> None:
        """Let go of what it holds; no answer."""
        self.copy.close()
        if self.held is not None:
            self.held.close()
        if self.way is not None:
            self.way.close()


class Connector:
    """Carries out the connects of one pod; ``ask`` decides about what is not the pod's own."""

    def __init__(self, root_fd: int, workers: int = 4) -> None:
        """To be made in the main thread, and not to be used before ``decide_by``.

        root_fd: the pod's root, the caller's. workers: how many connects at a time, beside those
        that wait.
        """
        self._root = root_fd
        self._own: Callable[[int], bool]
        self._ask: Callable[[Connect], None]
        self._twins: Collection[str] = ()
        self._workers = Workers(workers, tasks.drop_effective)
        self._network = os.stat("/proc/self/ns/net").st_ino
        self._ids = tasks.own_ids()
        self._lock = allocate_lock()
        self._diagnosis: tuple[int, socket.socket] | None = None

    def decide_by(
        self, own: Callable[[int], bool], ask: Callable[[Connect], None], twins: Collection[str]
    ) -> None:
        """own: whether the socket's file that an O_PATH descriptor holds lies on a filesystem of
        the pod's. ask: called in the thread that calls ``handle``; owns the Connect. twins:
        abstract addresses, without the @, that are refused at once: the pod has a file for each."""
        self._own, self._ask, self._twins = own, ask, twins

    def close(self) -> None:
        """End the connects that wait. Those that are being asked about are their owner's."""
        self._workers.close()
        with self._lock:
            if self._diagnosis is not None:
                self._diagnosis[1].close()
                self._diagnosis = None

    def handle(self, listener: int, note: notify.Notification) -> bool:
        """Answer a connect(2), now or later. Waits for nobody. True: nothing is at its path."""
        try:
            connect, free = self._copied(listener, note)
        except OSError as exc:
            # or it is its caller that is missing
            nothing = exc.errno == errno.ENOENT and notify.valid(listener, note.id)
            notify.refuse(listener, note.id, exc.errno or errno.EACCES)
            return nothing
        if not connect.alive():
            # what was read may have been another process's of the same number
            connect.close()
        elif free:
            self.approve(connect)
        else:
            self._ask(connect)
        return False

    def approve(self, connect: Connect) -> None:
        """Carry it out, and answer with its result."""
        if not self._workers.submit(_Job(connect)):
            connect.close()
            notify.refuse(connect.listener, connect.id, errno.EAGAIN)

    def refuse(self, connect: Connect) -> None:
        """Answer as if nobody listened there."""
        connect.close()
        there = connect.visible or connect.held is None
        notify.refuse(connect.listener, connect.id, errno.ECONNREFUSED if there else errno.ENOENT)

    # -- what is asked

    def _copied(self, listener: int, note: notify.Notification) -> tuple[Connect, bool]:
        """The call, and whether it needs no permission. In the order of connect(2)'s errors."""
        tid = note.pid
        number, pointer, length = note.args[0] & 0xFFFFFFFF, note.args[1], note.args[2]
        length &= 0xFFFFFFFF
        ids = tasks.ids(tid) if tid else None
        if ids is None or (ids != self._ids and self._ids.uid != 0):
            raise _error(errno.EPERM)
        other = ids if ids != self._ids else None
        copy = sockets.borrow(tid, number)
        try:
            if length > _MAX_ADDRESS:
                raise _error(errno.EINVAL)
            address = Reader().bytes(tid, pointer, length) if length else b""
            if len(address) < length:
                raise _error(errno.EFAULT)
            family = sockets.family(copy.fileno())
            if family not in _FAMILIES:
                raise _error(errno.EAFNOSUPPORT)
            if family == socket.AF_NETLINK:
                _check_netlink(address)
            if family == socket.AF_UNIX and address[:2] == _FAMILY.pack(socket.AF_UNIX):
                return self._unix(listener, note, copy, address, other)
        except BaseException:
            copy.close()
            raise
        return self._plain(listener, note, copy, address, other), True

    def _plain(
        self,
        listener: int,
        note: notify.Notification,
        copy: OwnedFd,
        address: bytes,
        ids: tasks.Ids | None,
    ) -> Connect:
        name = os.fsdecode(b"@" + address[_FAMILY.size + 1 :])
        return Connect(
            listener, note.id, note.pid, name, "", True, True, (0, 0), address, copy, None, ids
        )

    def _unix(
        self,
        listener: int,
        note: notify.Notification,
        copy: OwnedFd,
        address: bytes,
        ids: tasks.Ids | None,
    ) -> tuple[Connect, bool]:
        if not _FAMILY.size < len(address) <= _MAX_UNIX:
            raise _error(errno.EINVAL)
        path = address[_FAMILY.size :]
        if not path[0]:
            free = self._is_private(note.pid, copy.fileno())
            if not free and os.fsdecode(path[1:]) in self._twins:
                raise _error(errno.ECONNREFUSED)
            return self._plain(listener, note, copy, address, ids), free
        path = path.partition(b"\0")[0]
        file, free = self._file(note.pid, path)
        try:
            way = addresses.Way(note.pid, path) if ids is not None and file.visible else None
        except BaseException:
            file.fd.close()
            raise
        held = file.fd.fileno()
        status = os.fstat(held)
        asked = os.fsdecode(path)
        return (
            Connect(
                listener,
                note.id,
                note.pid,
                file.path,
                "" if asked == file.path else asked,
                file.visible,
                file.settled,
                (status.st_dev, status.st_ino),
                # the link of procfs leads to what is held, whatever its name is by then
                _FAMILY.pack(socket.AF_UNIX) + b"/proc/self/fd/%d\0" % held,
                copy,
                file.fd,
                ids,
                way,
            ),
            free,
        )

    def _file(self, tid: int, path: bytes) -> tuple[File, bool]:
        """The file that the path names, and whether the pod may connect to it as it likes."""
        try:
            way = addresses.Way(tid, path)
            try:
                fd = way.walk()
            finally:
                way.close()
        except OSError as exc:
            if addresses.is_missing(exc) and (file := addresses.beyond(tid, path)) is not None:
                return file, False
            raise
        try:
            held = fd.fileno()
            if addresses.is_socket(fd):
                if self._own(held) or self._is_kage(held) or self._is_listened_to(tid, held):
                    return addresses.File(fd, "", True, True), True
                file = addresses.on_host(fd, tid)
                if not file.path:
                    raise _error(errno.ECONNREFUSED)
                return file, False
            if os.fstat(held).st_dev == os.fstat(self._root).st_dev:
                # a placeholder, which counts as absent
                beyond = addresses.beyond(tid, path)
                if beyond is not None:
                    fd.close()
                    return beyond, False
        except BaseException:
            fd.close()
            raise
        # the kernel says why not
        return addresses.File(fd, "", True, True), True

    def _is_private(self, tid: int, fd: int) -> bool:
        """Whether abstract addresses of this socket are the pod's own: it lives in the thread's
        network namespace, and that one is not the monitor's."""
        namespace = sockets.namespace_of(fd)
        if namespace is None or namespace == self._network:
            return False
        return namespace == os.stat(f"/proc/{tid}/ns/net").st_ino

    def _is_kage(self, fd: int) -> bool:
        try:
            kage = mounts.openat2(self._root, shim.KAGE_SOCKET, os.O_PATH, resolve=RESOLVE_IN_ROOT)
        except OSError:
            return False
        with OwnedFd(kage):
            return os.path.samestat(os.fstat(kage), os.fstat(fd))

    def _is_listened_to(self, tid: int, fd: int) -> bool:
        """Whether a program of the pod's listens there, in a directory of the host's: a socket of
        the pod's network namespace is bound to this very file. (With the host's network nobody
        can tell.)"""
        with self._lock:
            try:
                with OwnedFd(os.open(f"/proc/{tid}/ns/net", os.O_RDONLY)) as namespace:
                    network = os.fstat(namespace.fileno()).st_ino
                    if network == self._network:
                        return False
                    if self._diagnosis is None or self._diagnosis[0] != network:
                        if self._diagnosis is not None:
                            self._diagnosis[1].close()
                            self._diagnosis = None
                        self._diagnosis = network, sockets.diagnosis(namespace.fileno())
                return sockets.listens(self._diagnosis[1], fd)
            except OSError:
                return False


class _Job:
    """One connect in a worker."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def run(self) -> None:
        connect = self._connect
        fd = connect.copy.fileno()
        if fd < 0 or not connect.alive():
            connect.close()
            return
        if connect.ids is None:
            code = sockets.connect(fd, connect.address)
        else:
            code = self._as_another(connect.ids)
        if code == errno.EINTR and not sockets.gives_up(fd):
            code = notify.ERESTARTSYS
        connect.close()
        if code:
            notify.refuse(connect.listener, connect.id, code)
        else:
            notify.succeed(connect.listener, connect.id, 0)

    def _as_another(self, ids: tasks.Ids) -> int:
        connect = self._connect
        try:
            with tasks.acting_as(ids):
                if connect.way is not None and connect.held is not None:
                    with connect.way.walk() as there:
                        here, held = there.fileno(), connect.held.fileno()
                        if not os.path.samestat(os.fstat(here), os.fstat(held)):
                            return errno.ECONNREFUSED
                return sockets.connect(connect.copy.fileno(), connect.address)
        except OSError as exc:
            return exc.errno or errno.EPERM

    def is_over(self) -> bool:
        return not self._connect.alive() or caller.signalled(self._connect.pid)


def _check_netlink(address: bytes) -> None:
    """Another peer than the kernel takes a privilege, which the monitor has and the pod has not."""
    if len(address) >= _NETLINK.size:
        family, _, peer, groups = _NETLINK.unpack_from(address)
        if family == socket.AF_NETLINK and (peer or groups):
            raise _error(errno.EPERM)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
