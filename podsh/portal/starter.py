"""Starting the portal from a client: once, whoever asks first; its last words when it fails."""

from __future__ import annotations

import fcntl
import os
import sys
import time

from podsh import paths
from podsh.errors import PodshError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.portal.client import Client

START_S = 10.0
_LOG_LINES = 6


def start(socket_path: str, connect: Callable[[], Client | None]) -> Client:
    """Start the portal unless ``connect`` finds that somebody else just did; a connection to it.

    Raises PodshError with the end of the portal's log where it does not come up.
    """
    lock_path = os.path.join(os.path.dirname(socket_path), "portal.lock")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = connect()
        if client is not None:
            return client
        paths.own_dir(paths.state_dir())
        log_path = os.path.join(paths.state_dir(), "portal.log")
        log = os.open(
            log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            size = os.fstat(log).st_size
            said = _spawn(log)
            client = connect()
            if client is None:
                raise _failure(said, log, size, log_path)
            return client
        finally:
            os.close(log)
    finally:
        os.close(lock)


def _spawn(log: int) -> bytes:
    """Start the portal in a session of its own, nobody's child; what it said on its ready pipe."""
    ready, ready_child = os.pipe()
    with os.fdopen(ready, "rb", buffering=0) as pipe:
        pid = os.fork()
        if pid == 0:
            try:
                _become_portal(ready_child, log)
            finally:
                os._exit(127)
        os.close(ready_child)
        os.waitpid(pid, 0)
        return _listen(pipe.fileno())


def _become_portal(ready: int, log: int) -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    import signal

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir("/")
    # first out of the way of 0-3, which are overwritten one after the other
    log, ready = _above(log), _above(ready)
    null = _above(os.open(os.devnull, os.O_RDWR))
    for target, source in ((0, null), (1, null), (2, log), (3, ready)):
        os.dup2(source, target, inheritable=True)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    os.execv(sys.executable, [sys.executable, "-I", "-m", "podsh.portal.main", "--ready-fd", "3"])


def _above(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _listen(ready: int) -> bytes:
    import select

    end = time.monotonic() + START_S
    said = b""
    while (left := end - time.monotonic()) > 0:
        if select.select([ready], [], [], left)[0]:
            data = os.read(ready, 4096)
            if not data:
                break
            said += data
    return said


def _failure(said: bytes, log: int, size: int, log_path: str) -> PodshError:
    """What to tell: the portal's own line, else the end of what it wrote to its log."""
    words = said.decode("utf-8", "replace").strip()
    if words.startswith("ok"):
        words = ""
    if not words:
        lines = os.pread(log, 1 << 16, size).decode("utf-8", "replace").splitlines()
        words = "".join("\n  " + line for line in lines[-_LOG_LINES:])
    return PodshError(
        "does not start" + (f": {words}" if words else ""), place="portal", hint=f"see {log_path}"
    )
