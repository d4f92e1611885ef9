"""What is said to a pod's init, ``podsh-init jail``: encodings, and the channel to it.

One SEQPACKET datagram is one message, ``u32 kind, u32 id, payload``, little-endian; strings are
``u32 length, bytes, NUL``. The other end is podsh/native/init/wire.c and plan.c.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.errors import LaunchFailed
from podsh.jail.encode import HEADER, PAIR, TRIPLE, U32, U64, string
from podsh.kernel.fds import memfd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Record = tuple[Any, ...]
    Stdio = tuple[int | None, int | None, int | None]

# orders
LAUNCH, FDS, BUILD, RUN, SIGNAL, ATTACH, HOSTNAME, DETACH, PREPARE, LINK, SETATTR, PARK = range(
    1, 13
)
# what init answers
ACK, FAILED, READY, STARTED, EXITED, LISTENER = range(64, 70)

NO_OP = 2**64 - 1
# SCM_MAX_FD is 253 (linux/net/scm.h)
_FDS_AT_ONCE = 200
_MESSAGE_BYTES = 8192
_MESSAGE_FDS = 8
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_LAUNCH_TIMEOUT_S = 30

_UCRED = struct.Struct("iII")  # struct ucred, unix(7)


# ---------------------------------------------------------------- the channel


class Message(NamedTuple):
    """One message of init's. ``fds`` belong to the receiver."""

    kind: int
    id: int
    fds: tuple[int, ...] = ()
    pid: int = 0  # of the sender; STARTED, LISTENER: of the program; as seen from here
    errno: int = 0
    step: str = ""
    path: str = ""
    op_index: int = NO_OP
    status: int = 0  # EXITED: raw wait status
    others: bool = False  # EXITED: other processes live in the pod
    killable: bool = True  # LISTENER: held calls wait undisturbed by signals (Linux 5.19)


def decode(data: bytes, fds: tuple[int, ...] = (), pid: int = 0) -> Message:
    """One datagram of init's."""
    kind, ident = HEADER.unpack_from(data)
    if kind == FAILED:
        (errno,) = U64.unpack_from(data, 8)
        step, at = _take_str(data, 16)
        path, at = _take_str(data, at)
        (op_index,) = U64.unpack_from(data, at)
        return Message(kind, ident, fds, pid, errno, step, path, op_index)
    if kind == EXITED:
        status, others = PAIR.unpack_from(data, 8)
        return Message(kind, ident, fds, pid, status=status, others=bool(others))
    if kind == LISTENER:
        (killable,) = U64.unpack_from(data, 8)
        return Message(kind, ident, fds, pid, killable=bool(killable))
    if kind == ACK and len(data) == 16:
        # the launcher's: the process that it made
        (pid,) = U64.unpack_from(data, 8)
    return Message(kind, ident, fds, pid)


def _take_str(data: bytes, at: int) -> tuple[str, int]:
    (length,) = U32.unpack_from(data, at)
    at += 4
    return os.fsdecode(data[at : at + length]), at + length + 1


class Replaced(LaunchFailed):
    """What was to be attached lost its name on the host meanwhile, as a file does that an editor
    or ``useradd`` replaces: the kernel attaches nothing that is unlinked."""


class Ended(LaunchFailed):
    """Init is gone without a word: killed, most likely."""


def failure(message: Message) -> LaunchFailed:
    """A FAILED message in words."""
    if message.step == "move_mount" and message.errno == errno.ENOENT:
        return Replaced(
            "it was replaced or removed on the host meanwhile",
            place=message.path,
            hint="try again",
        )
    hint = ""
    if message.step == "fsmount" and message.path == "proc":
        hint = "the host's /proc is covered in part; in Docker: systempaths=unconfined"
    place = f"{message.step} {message.path}".rstrip()
    return LaunchFailed(os.strerror(message.errno), place=place, hint=hint)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # by another part of this process


class Init:
    """A pod's init as its monitor sees it. Made by ``spawn``; owns the socket.

    init dies with the thread that spawned it (PR_SET_PDEATHSIG), and when the socket is closed.
    """

    __slots__ = ("_net", "_path", "_pid", "_socket", "launcher_pid", "listener", "prepared")

    def __init__(self, path: str) -> None:
        self._path = path
        self._net: bool | None = None  # whether LAUNCH asked for an own network; None: not yet
        self._pid = 0  # of PID 1, while it is ours to reap
        self.launcher_pid = 0
        self.prepared = 0  # mounts that PREPARE was given
        self.listener = -1  # of the socket that a plan made; owned until somebody takes it
        self._start()

    @classmethod
    def spawn(cls, init_path: str, template_fd: int | None = None) -> Init:
        """Start ``podsh-init jail``, which waits for ``launch``. Needs U0 and its capabilities.

        With ``template_fd`` it makes its namespaces at once, as for ``net=True``: this takes half
        of what a launch takes, and can be done before anybody waits. Raises LaunchFailed.
        """
        init = cls(init_path)
        if template_fd is not None:
            init._clone(template_fd, True)
        return init

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                timeout = struct.pack("ll", _LAUNCH_TIMEOUT_S, 0)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
                self.launcher_pid = os.posix_spawn(
                    self._path,
                    ["podsh-init", "jail", "3"],
                    {},
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
                )
            except OSError as exc:
                ours.close()
                raise LaunchFailed(
                    os.strerror(exc.errno or 0),
                    place=self._path,
                    hint="build it: python podsh/native/build.py",
                ) from None
        self._socket = ours

    def fileno(self) -> int:
        """Readable when ``receive`` has something."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket: the pod ends. Reaps what ``launch`` has not handed over."""
        if self._socket.fileno() < 0:
            return
        if self._net is not None and self.launcher_pid and not self._pid:
            try:
                self._await(LAUNCH, ACK)
            except LaunchFailed:
                pass
        self._close_listener()
        self._socket.close()
        self._reap_launcher()
        if self._pid:
            _reap(self._pid)
            self._pid = 0

    def _close_listener(self) -> None:
        if self.listener >= 0:
            os.close(self.listener)
            self.listener = -1

    def take_listener(self) -> int:
        """The descriptor of the socket that the plan made: the caller's from here on."""
        fd, self.listener = self.listener, -1
        return fd

    def _reap_launcher(self) -> None:
        if self.launcher_pid:
            _reap(self.launcher_pid)
            self.launcher_pid = 0

    # -- launching

    def launch(self, template_fd: int, plan_bytes: bytes, net: bool, mounts: Sequence[int]) -> int:
        """Build the jail and wait until it is ready; the host pid of its PID 1, to be reaped.

        net: with a network namespace of its own. mounts: detached mounts, which stay the
        caller's. Raises LaunchFailed; the jail is gone then and its processes are reaped.
        """
        self.begin(template_fd, plan_bytes, net, mounts)
        return self.ready()

    def begin(self, template_fd: int, plan_bytes: bytes, net: bool, mounts: Sequence[int]) -> None:
        """``launch`` without waiting: ``ready`` does that. Once ``pid`` is known, a program may be
        ordered at once; it is started in a jail that is ready, or not at all."""
        with self._ending():
            self._need(template_fd, net)
            self._send_mounts(mounts)
            self._send_plan(BUILD, plan_bytes)

    def ready(self) -> int:
        """The rest of ``launch``."""
        with self._ending():
            self._await(BUILD, READY)
            # PID 1 may be ready before its launcher has said so
            while not self._pid:
                self._await(LAUNCH, ACK)
        self._reap_launcher()
        pid, self._pid = self._pid, 0
        return pid

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """What fails in there ends the jail."""
        try:
            yield
        except OSError as exc:
            self.close()
            raise LaunchFailed(os.strerror(exc.errno or 0), place="podsh-init") from None
        except BaseException:
            self.close()
            raise

    def _clone(self, template_fd: int, net: bool) -> None:
        self._send(LAUNCH, LAUNCH, U64.pack(_CLONE_NEWNET if net else 0), (template_fd,))
        self._net = net

    def _need(self, template_fd: int, net: bool) -> None:
        """Have namespaces of that kind: made now, or anew by one that has made others."""
        if self._net is not None and self._net != net:
            if self.prepared:
                raise ValueError("prepared with another network namespace: restart first")
            self.restart()
        if self._net is None:
            self._clone(template_fd, net)

    def restart(self) -> None:
        """Begin anew with an init that has made and prepared nothing."""
        self.close()
        self._net = None
        self.prepared = 0
        self._start()

    def prepare(
        self, template_fd: int, plan_bytes: bytes, net: bool, mounts: Sequence[int]
    ) -> None:
        """Have the first part of a plan carried out, beside what the caller goes on to do.

        What is given next goes on from there, without a root, its mounts counted from
        ``prepared``. Failures are reported by ``launch``.
        """
        self._need(template_fd, net)
        self._send_mounts(mounts)
        self._send_plan(PREPARE, plan_bytes)
        self.prepared += len(mounts)

    @property
    def pid(self) -> int:
        """Of PID 1, as seen from here, between ``settle`` and ``launch``."""
        return self._pid

    def park(self, program_bytes: bytes) -> Message:
        """Have a process wait for its program, on a terminal and under the filter of
        ``program_bytes``, which has to listen: the first one run is it, if it has that filter.

        After ``settle``. LISTENER, with the listener, the caller's. Raises LaunchFailed.
        """
        with memfd(program_bytes) as program:
            self._send(PARK, PARK, b"", (program.fileno(),))
        found = self._await(PARK, LISTENER)
        try:
            self._await(PARK, ACK)
        except BaseException:
            for fd in found.fds:
                os.close(fd)
            raise
        return found

    def settle(self) -> None:
        """Wait until what was ordered so far is done, and reap the launcher: a standby that
        nobody asks for leaves no zombie. Raises LaunchFailed with what went wrong."""
        self._await(PREPARE, ACK)
        while not self._pid:
            self._await(LAUNCH, ACK)
        self._reap_launcher()

    def _send_mounts(self, mounts: Sequence[int]) -> None:
        for first in range(0, len(mounts), _FDS_AT_ONCE):
            if first:
                # descriptors in flight count per user (unix(7), ETOOMANYREFS): one lot at a time
                self._await(FDS, ACK)
            at = U64.pack(self.prepared + first)
            self._send(FDS, FDS, at, mounts[first : first + _FDS_AT_ONCE])

    def _send_plan(self, kind: int, plan_bytes: bytes) -> None:
        with memfd(plan_bytes) as plan:
            self._send(kind, kind, b"", (plan.fileno(),))

    def _await(self, ident: int, kind: int) -> Message:
        """Wait for one answer; raises LaunchFailed for a FAILED, an end (Ended) or a silence."""
        while True:
            try:
                message = self._receive(0)
            except BlockingIOError:
                raise LaunchFailed("init does not answer", place="podsh-init") from None
            if message is None:
                raise Ended("init ended by itself", place="podsh-init")
            if message.kind == FAILED:
                if message.pid != self.launcher_pid:
                    self._pid = message.pid
                raise failure(message)
            if message.fds and message.kind != LISTENER:
                self._close_listener()
                (self.listener,) = message.fds
            if (message.kind, message.id) == (ACK, LAUNCH):
                self._pid = message.pid
            if (message.kind, message.id) == (kind, ident):
                return message

    # -- orders to a live pod; the answers come through receive()

    def send_run(self, ident: int, program_bytes: bytes, stdio: Stdio) -> None:
        """Start a program: STARTED (its terminal's master) or FAILED, later EXITED.

        One encoded with ``listen`` sends LISTENER first, the filter's listener; its exec and all
        that follows waits until the calls that come there are answered.

        The master is to be kept until EXITED: closing it hangs up, and a program that has closed
        its own side (reading then gives EIO) may still be about to exit.
        stdio: descriptors for 0-2, which stay the caller's; None: the program's terminal; -1: the
        pod's /dev/null. The same as given to ``encode.program``.
        """
        with memfd(program_bytes) as program:
            given = [fd for fd in stdio if fd is not None and fd >= 0]
            self._send(RUN, ident, b"", (program.fileno(), *given))

    def send_signal(self, ident: int, signo: int, group: int) -> None:
        """Signal a program: 0 its process, 1 its terminal's foreground group, 2 the whole pod.

        Raises BlockingIOError where init has no room for it; each is answered, so waiting here
        for one that waits for its answers to be read would never end.
        """
        self._send(SIGNAL, ident, PAIR.pack(signo, group), flags=socket.MSG_DONTWAIT)

    def send_attach(self, ident: int, path: str, is_file: bool, fd: int) -> None:
        """Attach a detached mount in the live pod."""
        self._send(ATTACH, ident, string(path) + U64.pack(is_file), (fd,))

    def send_detach(self, ident: int, path: str) -> None:
        """Detach the topmost mount at ``path``; what is open there stays open."""
        self._send(DETACH, ident, string(path))

    def send_link(self, ident: int, path: str, target: str) -> None:
        """Make a symlink in the live pod's skeleton; FAILED with EEXIST where anything but the same
        link is there, with EXDEV outside the skeleton."""
        self._send(LINK, ident, string(path) + string(target))

    def send_setattr(
        self, ident: int, path: str, set_: int, clear: int, recursive: bool = False
    ) -> None:
        """Set and clear MOUNT_ATTR_* of the topmost mount at ``path``; FAILED with EINVAL where
        ``path`` is not the root of one."""
        self._send(SETATTR, ident, string(path) + TRIPLE.pack(set_, clear, recursive))

    def send_hostname(self, ident: int, name: str) -> None:
        """Change the pod's host name."""
        self._send(HOSTNAME, ident, string(name))

    def receive(self) -> Message | None:
        """The next message; None at the end of the pod. Raises BlockingIOError: none is there."""
        return self._receive(socket.MSG_DONTWAIT)

    # -- datagrams

    def _send(
        self,
        kind: int,
        ident: int,
        payload: bytes = b"",
        fds: Sequence[int] = (),
        flags: int = 0,
    ) -> None:
        ancillary = []
        if fds:
            packed = struct.pack(f"{len(fds)}i", *fds)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
        try:
            self._socket.sendmsg(
                [HEADER.pack(kind, ident) + payload], ancillary, socket.MSG_NOSIGNAL | flags
            )
        except (BrokenPipeError, ConnectionResetError):
            # the end shows in receive(), with what init had to say before it
            pass

    def _receive(self, flags: int) -> Message | None:
        room = socket.CMSG_SPACE(4 * _MESSAGE_FDS) + socket.CMSG_SPACE(_UCRED.size)
        flags |= socket.MSG_CMSG_CLOEXEC
        try:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, room, flags)
            except ConnectionResetError:
                # it ended with orders unread, which is said once, before its own last words
                data, ancillary, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, room, flags)
        except ConnectionResetError:
            return None
        fds: tuple[int, ...] = ()
        pid = 0
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = struct.unpack(f"{len(content) // 4}i", content)
            elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = _UCRED.unpack(content)[0]
        return decode(data, fds, pid) if data else None
