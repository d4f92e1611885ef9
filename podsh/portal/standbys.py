"""The zygote that forks the monitors, its standbys, and what these do beforehand."""

from __future__ import annotations

import asyncio
import marshal
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.errors import KernelLacks, LaunchFailed, PodshError
from podsh.kernel import fds
from podsh.portal import stamp
from podsh.portal.habit import Habit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.portal.packed import Packed

TEMPLATE_FD = 250
SOCKET_FD = 251
HABIT_FD = 252
OLD_ZYGOTE_S = 2.0
# what it wrote before it ended may still be on the way
LAST_WORDS_S = 0.05
# of a habit; the socket takes no larger datagram
HABIT_BYTES = 64 << 10


class HostMounts:
    """Whether the host's mounts changed since the zygote copied them.

    Where ``/`` is shared the changes reach its namespace by themselves; where it is private (in
    containers, mostly) they do not, and a new zygote has to be started.
    """

    def __init__(self) -> None:
        # polled for POLLPRI: man 5 proc_pid_mounts
        self._file = open("/proc/self/mountinfo", "rb", buffering=0)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLPRI)
        self._poll.poll(0)

    def moved(self) -> bool:
        if not self._poll.poll(0):
            return False
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                fields = line.split(b" - ")[0].split(b" ")
                if fields[4] == b"/":
                    return not any(tag.startswith(b"shared:") for tag in fields[6:])
        return True


class Standbys:
    """The zygote of now; those that were told to end are buried in time.

    ``trouble`` is why the last one that ended although nobody asked did so, and when it was seen
    (time.time()).
    """

    def __init__(self) -> None:
        self.trouble: tuple[float, PodshError] | None = None
        self._loop = asyncio.get_running_loop()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._room: asyncio.Future[None] | None = None  # what launches wait for in ``send``
        self._old: list[subprocess.Popen[bytes]] = []  # told to end, not yet buried
        self._host = HostMounts()
        self._stamp = stamp.now()
        self._words: deque[str] = deque(maxlen=8)  # the zygote's last lines
        self._habit = Habit()
        self._habits: socket.socket | None = None

    def start(self) -> None:
        """Start it if it is not there; its failure is reported by the launch that needs it."""
        alive = self._zygote is not None and self._zygote.poll() is None
        if alive and not self._host.moved():
            return
        if self._zygote is not None and not alive:
            self._gone(self._zygote)
        self.stop()
        if stamp.now() != self._stamp:
            raise stamp.changed()
        binary = paths.init_binary()
        if not os.access(binary, os.X_OK):
            raise LaunchFailed(
                "is not there or not executable", place=binary, hint="build it: make setup"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors_in, errors_out = os.pipe()
        os.set_blocking(errors_in, False)
        os.dup2(theirs.fileno(), SOCKET_FD, inheritable=True)
        self._habits, habits = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.dup2(habits.fileno(), HABIT_FD, inheritable=True)
        try:
            self._zygote = subprocess.Popen(
                [
                    binary,
                    "enter",
                    str(TEMPLATE_FD),
                    "--",
                    sys.executable,
                    "-I",
                    "-m",
                    "podsh.portal.zygote",
                    str(SOCKET_FD),
                    str(TEMPLATE_FD),
                    str(HABIT_FD),
                    self._stamp,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors_out,
                pass_fds=(SOCKET_FD, HABIT_FD),
                # glibc: a monitor's thread needs no heap of its own
                env={**os.environ, "MALLOC_ARENA_MAX": "1"},
            )
        finally:
            os.close(SOCKET_FD)
            os.close(HABIT_FD)
            os.close(errors_out)
            habits.close()
            theirs.close()
        ours.setblocking(False)
        self._habits.setblocking(False)
        self._tell_habit()
        self._watch(self._zygote)
        self._requests = ours
        self._words.clear()
        self._loop.add_reader(errors_in, self._says, errors_in)

    def _watch(self, zygote: subprocess.Popen[bytes]) -> None:
        """Notice its end at once: its pipe is held open by the monitors that it forked."""
        pidfd = os.pidfd_open(zygote.pid)

        def ended() -> None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
            self._loop.call_later(LAST_WORDS_S, self._gone, zygote)

        self._loop.add_reader(pidfd, ended)

    def _says(self, fd: int) -> None:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(fd)
            os.close(fd)
            return
        os.write(2, data)  # the portal's log
        self._words.extend(data.decode("utf-8", "replace").splitlines())

    def _gone(self, zygote: subprocess.Popen[bytes]) -> None:
        """It ended, and it may be that nobody asked. A standby of its that is left takes launches
        that wait; the others end with the socket."""
        if zygote is not self._zygote:
            return
        error: PodshError
        if stamp.now() != self._stamp:
            error = stamp.changed()
        else:
            words = self._words[-1] if self._words else "the zygote ended"
            error = KernelLacks(words, hint="see what is missing: podsh doctor")
        self.trouble = (time.time(), error)
        self.stop()

    def stop(self) -> None:
        """Close its socket: it ends by itself, and so do its standby monitors."""
        if self._requests is not None:
            self._has_room()
            self._requests.close()
            self._requests = None
        if self._habits is not None:
            self._habits.close()
            self._habits = None
        if self._zygote is not None:
            zygote, self._zygote = self._zygote, None
            self._loop.call_later(OLD_ZYGOTE_S, _bury, zygote)
            self._old.append(zygote)

    async def bury(self) -> None:
        """Wait for zygotes that were told to end."""
        await asyncio.gather(*(asyncio.to_thread(_bury, old, OLD_ZYGOTE_S) for old in self._old))

    @property
    def pid(self) -> int | None:
        """The zygote's."""
        return self._zygote.pid if self._zygote is not None else None

    async def send(
        self,
        name: str,
        packed: Packed,
        message: dict[str, Any],
        portal: socket.socket,
        given: Sequence[int] = (),
    ) -> None:
        """The launch of the pod of that name, for whichever standby takes it, with its end of the
        connection to us, and the descriptors that its network takes."""
        before = self._habit.number
        moved = self._habit.decides(message["policy"])
        message["policy"]["number"] = self._habit.policy_number
        sent = packed.sent(name, self._habit)
        if moved or self._habit.number != before:
            self._tell_habit()
        assert self._requests is not None
        try:
            with fds.memfd(marshal.dumps({**message, **sent})) as data:
                while self._requests is not None:
                    try:
                        passed = (data.fileno(), portal.fileno(), *given)
                        socket.send_fds(self._requests, [b"launch"], passed)
                        return
                    except BlockingIOError:  # many launches are waiting for a standby
                        await self._until_room()
        except OSError as exc:
            raise LaunchFailed(f"the zygote is gone: {exc.strerror}") from None
        raise LaunchFailed("the zygote is gone")

    async def _until_room(self) -> None:
        """Wait until the standbys have taken most launches that wait, or the zygote is stopped."""
        assert self._requests is not None
        if self._room is None:
            self._room = self._loop.create_future()
            self._loop.add_writer(self._requests.fileno(), self._has_room)
        await asyncio.shield(self._room)

    def _has_room(self) -> None:
        if self._room is not None and self._requests is not None:
            self._loop.remove_writer(self._requests.fileno())
            self._room.set_result(None)
            self._room = None

    def _tell_habit(self) -> None:
        habit = self._habit
        data = marshal.dumps((habit.number, habit.rows, habit.policy_number, habit.policy))
        if len(data) > HABIT_BYTES:
            data = marshal.dumps((habit.number, habit.rows, 0, None))  # each decides by itself
        if self._habits is not None and len(data) <= HABIT_BYTES:
            try:
                self._habits.send(data)
            except OSError:
                pass  # it goes on with the one before


def _bury(zygote: subprocess.Popen[bytes], patience_s: float = 0.0) -> None:
    """A zygote may wait for a standby that has just become a live pod's monitor: not for long."""
    try:
        zygote.wait(patience_s)
    except subprocess.TimeoutExpired:
        zygote.kill()
        zygote.wait()
