"""The portal: one per user, started by the first command, ends when asked. Pods outlive it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time

from podsh import paths
from podsh.errors import PodshError
from podsh.kernel import fds, process
from podsh.kernel.address import Address
from podsh.portal import revive
from podsh.portal.server import Portal

# how long a portal may take to make its socket anew
REVIVE_S = 3.0


def main() -> int:
    """``python -I -m podsh.portal.main --ready-fd N``: a newline on N when it listens."""
    parser = argparse.ArgumentParser(prog="podsh-portal")
    parser.add_argument("--ready-fd", type=int, default=-1)
    ready_fd = parser.parse_args().ready_fd
    os.umask(0o077)
    process.set_name(revive.PORTAL)
    fds.raise_nofile()
    try:
        path = socket_path()
        listener = None if _revived(path) else listen(path)
        if listener is not None:
            asyncio.run(_serve(listener, ready_fd))
    except (PodshError, OSError) as exc:
        print(f"podsh: portal: {exc}", file=sys.stderr)
        return 125
    return 0


def socket_path() -> str:
    return os.path.join(paths.runtime_dir(), "portal.sock")


def listen(path: str) -> socket.socket | None:
    """The listening socket, or None where another portal already answers there.

    The name is bound beside and moved into place: two portals never both believe in it.
    """
    if _answers(path):
        return None
    mine = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with Address(mine) as address:
        listener.bind(address)
    os.chmod(mine, 0o600)
    listener.listen(128)
    os.rename(mine, path)
    return listener


def _answers(path: str) -> bool:
    """Whether a portal listens at ``path``."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        with Address(path) as address:
            return probe.connect_ex(address) == 0


def _revived(path: str) -> bool:
    """Whether the portal of before is there, and has made its socket anew."""
    if os.path.lexists(path) or not revive.wake(revive.portal(path), revive.PORTAL):
        return False
    end = time.monotonic() + REVIVE_S
    while not _answers(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # for a few of these: nothing tells of a socket that is listened at
    return True


async def _serve(listener: socket.socket, ready_fd: int) -> None:
    portal = Portal(listener)
    loop = asyncio.get_running_loop()
    for signo in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signo, portal.stop)

    def listen_again() -> None:
        again = listen(socket_path())
        if again is not None:
            portal.listen_at(again)

    loop.add_signal_handler(revive.SIGNAL, listen_again)
    revive.note(socket_path())
    await portal.open()
    # what is loaded stays; and small collections must not come between a launch and its answer
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    process.set_dumpable(False)
    if ready_fd >= 0:
        # who started it may be gone: others come
        with contextlib.suppress(BrokenPipeError):
            os.write(ready_fd, b"\n")
        os.close(ready_fd)
    await portal.stopped.wait()
    revive.forget()
    await portal.close()


if __name__ == "__main__":
    sys.exit(main())
