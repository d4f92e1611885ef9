"""Programs that work for a pod without being in it: what connects, watches, configures its network.

Each is started by ``podsh-init beside``: in namespaces of its own, PID 1 of which is a guard that
ends with us; it sees the files that its view names and has no capabilities but those named, over
the pod's network alone. See podsh/native/init/beside.c.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.errors import LaunchFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOBODY = 65534
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# what a dynamic linker reads
_LINKER = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
# of what a program says, so much is kept
_KEPT_BYTES = 4096
_SEEN_BYTES = 1 << 16
# longer than a guard gives its program
_PATIENCE_S = 3.0
_LAST_LINES, _LAST_CHARACTERS = 4, 600


def view(*more: str) -> list[str]:
    """Options for programs and libraries, read-only, and for places of its own; and ``more``: paths
    that are shown where the host has them."""
    words = ["tmp", "/tmp", "tmp", "/run", "dev", "/dev/null"]
    words += ["link", "/proc/self/fd", "/dev/fd"]  # by which scripts are handed over
    for path in (*_SYSTEM, *_LINKER, *more):
        if os.path.islink(path) and path in _SYSTEM:
            words += ["link", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["ro", path, path]
    return words


def unprivileged() -> list[str]:
    """Options for root's: nobody, where there is such a user, who has no files."""
    return ["uid", str(NOBODY)] if os.geteuid() == 0 and _is_mapped(NOBODY) else []


def _is_mapped(uid: int) -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [[int(number) for number in line.split()] for line in file]
    return any(first <= uid < first + length for first, _, length in ranges)


class Beside:
    """One such program, of which standard error is heard. Owns its guard, which ``close`` ends
    and waits for."""

    def __init__(
        self,
        name: str,
        options: Sequence[str],
        argv: Sequence[str],
        fds: Sequence[int] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        """fds: those that ``options`` and ``argv`` name, which keep their numbers and stay the
        caller's. Raises LaunchFailed."""
        self.name = name
        self.status: int | None = None  # of the program itself, as from wait(2)
        self._said = b""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._output, output = os.pipe2(os.O_CLOEXEC)
        self._pid = 0
        try:
            command = ["podsh-init", "beside", str(theirs.fileno()), *options, "--", *argv]
            given = [theirs.fileno(), *fds]
            for fd in given:
                os.set_inheritable(fd, True)
            try:
                starter = os.posix_spawn(
                    paths.init_binary(),
                    command,
                    environment or ENVIRONMENT,
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                        (os.POSIX_SPAWN_DUP2, output, 2),
                    ],
                )
            finally:
                for fd in given:
                    os.set_inheritable(fd, False)
            theirs.close()
            os.close(output)
            output = -1
            os.waitpid(starter, 0)
            pid = self._socket.recv(4)
            if len(pid) == 4:
                self._pid = int.from_bytes(pid, "little")
            else:
                self._hear_all()
                self._ended()
        except OSError as exc:
            self.close()
            raise LaunchFailed(os.strerror(exc.errno or 0), place=name) from None
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
            if output >= 0:
                os.close(output)

    # -- waiting, while nothing else is done

    def wait(
        self, timeout_s: float, until: Callable[[str], bool] | None = None, beside: int = -1
    ) -> None:
        """Until the program has ended well, or its words so far are ``until``, asked again when
        ``beside`` can be read. Raises LaunchFailed with its last words where it ended otherwise, or
        in time did neither."""
        watched: list[Any] = [self._output, self._socket, *([beside] if beside >= 0 else [])]
        end = time.monotonic() + timeout_s
        while until is None or not until(self.said):
            if self.status is not None:
                if self.status == 0 and until is None:
                    return
                self._hear_all()
                self._ended()
            left = end - time.monotonic()
            if left <= 0:
                raise LaunchFailed(f"did not get ready in {timeout_s:.0f} s", place=self.name)
            found, _, _ = select.select(watched, [], [], left)
            if self._output in found and not self.hear():
                watched.remove(self._output)  # nothing more is said
            if self._socket in found:
                data = self._socket.recv(4)
                self.status = array.array("i", data)[0] if len(data) == 4 else 125 << 8

    def _ended(self) -> None:
        status = self.status if self.status is not None else 125 << 8
        code = os.waitstatus_to_exitcode(status)
        how = f"killed by signal {-code}" if code < 0 else f"exit {code}"
        raise LaunchFailed(self.last_words() or how, place=self.name)

    # -- what it says

    @property
    def output(self) -> int:
        """Readable when it says something, or nobody will any more: ``hear`` then."""
        return self._output

    @property
    def guard(self) -> int:
        """Readable when something of it has ended: ask ``gone`` then."""
        return self._socket.fileno()

    def gone(self) -> bool:
        """Whether nothing is left of it."""
        try:
            return not self._socket.recv(4, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    @property
    def said(self) -> str:
        """What it said lately."""
        return self._said.decode("utf-8", "replace")

    def last_words(self) -> str:
        """Its last lines, as one."""
        lines = [line.strip() for line in self.said.split("\n") if line.strip()]
        return "; ".join(lines[-_LAST_LINES:])[-_LAST_CHARACTERS:]

    def hear(self) -> bool:
        """Take some of what it says; False at the end of that."""
        data = os.read(self._output, _SEEN_BYTES)
        self._said = (self._said + data)[-_KEPT_BYTES:]
        return bool(data)

    def _hear_all(self) -> None:
        while select.select([self._output], [], [], 0)[0] and self.hear():
            pass

    def forget(self) -> None:
        """What it has said so far."""
        self._said = b""

    # -- ending

    def signal(self, number: int) -> None:
        """Send the program a signal; one that has ended gets none."""
        try:
            self._socket.send(bytes([number]), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            pass

    def close(self) -> None:
        """End it, and wait until nothing of it is left."""
        self._socket.close()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
        if self._pid:
            _bury(self._pid)
            self._pid = 0


def _bury(guard: int) -> None:
    """Wait for a guard's end, which it was told; one that does not come to it is killed."""
    try:
        pidfd = os.pidfd_open(guard)
        if not select.select([pidfd], [], [], _PATIENCE_S)[0]:
            os.kill(guard, signal.SIGKILL)
        os.close(pidfd)
        os.waitpid(guard, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
