"""Sockets whose names are gone: who cleans up runtime directories does not ask who listens there.

Portals and monitors make theirs anew on SIGUSR1.
"""

from __future__ import annotations

import os
import signal

from podsh import paths
from podsh.kernel import fds

SIGNAL = signal.SIGUSR1
PORTAL = "podsh: portal"
_COMM_BYTES = 15  # prctl(2), PR_SET_NAME


def wake(pid: int, name: str) -> bool:
    """Tell the process ``pid``; False where it is not, or no longer, the one of that name."""
    try:
        with fds.pidfd_open(pid) as held:
            with open(f"/proc/{pid}/comm", "rb") as file:
                if file.read().rstrip(b"\n") != os.fsencode(name)[:_COMM_BYTES]:
                    return False
            fds.pidfd_send_signal(held.fileno(), SIGNAL)
    except OSError:
        return False
    return True


def note(socket_path: str) -> None:
    """Leave word that this process listens at ``socket_path``."""
    try:
        with open(_record(), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{os.getpid()} {socket_path}")
    except OSError:
        pass  # a full disk: it is found by its socket


def forget() -> None:
    """That it no longer does."""
    try:
        os.unlink(_record())
    except OSError:
        pass


def portal(socket_path: str) -> int:
    """The pid of the portal that last listened at ``socket_path``; 0 where none left word."""
    try:
        with open(_record(), encoding="utf-8", errors="surrogateescape") as file:
            pid, _, path = file.read().partition(" ")
        return int(pid) if path == socket_path else 0
    except (OSError, ValueError):
        return 0


def _record() -> str:
    return os.path.join(paths.state_dir(), "portal.pid")
