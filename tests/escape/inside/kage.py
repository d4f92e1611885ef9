"""The socket on which a pod's programs ask its monitor: ``/.podsh/kage.sock``.

facts: ``listening`` (paths of UNIX sockets of the host's, another pod's among them). ``flood`` and
``silent`` go on until they are killed.
"""

from __future__ import annotations

import os
import random
import socket
import time

from tools import facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SOCKET = "/.podsh/kage.sock"


def _dial(path: str = SOCKET) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(10)
    sock.connect(path)
    return sock


def _asks(path: str) -> bool:
    with _dial(path) as sock:
        sock.send(b"i--")
        return bool(sock.recv(100))


def _own(path: str) -> bool:
    return os.path.samestat(os.stat(path), os.stat(SOCKET))


def _others_answer(paths: Iterable[str]) -> bool:
    for path in paths:
        try:
            # a process of this pod may have the number of one outside
            if not _own(path) and _asks(path):
                return True
        except OSError:
            pass
    return False


def others_by_name() -> bool:
    """Whether any of the sockets that are somebody else's answers."""
    return _others_answer(facts["listening"])


def others_by_proc() -> bool:
    """The own name, as other processes see it."""
    processes = filter(str.isdigit, os.listdir("/proc"))
    return _others_answer(f"/proc/{name}/root{SOCKET}" for name in processes)


def garbage() -> None:
    """Thousands of senseless requests, quick and slow, with descriptors."""
    rng = random.Random(1)
    words = (b"i--", b"a--/x\0", b"l--/\0", b"mwp/\0/x\0", b"\0", b"")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        try:
            with _dial() as sock:
                data = rng.choice(words) + rng.randbytes(rng.choice((0, 1, 20, 9000, 60000)))
                fds = [0] * rng.choice((0, 0, 0, 1, 40))
                socket.send_fds(sock, [data], fds)
                if rng.random() < 0.5:
                    sock.recv(1 << 17)
        except OSError:
            pass
    print("garbage: done", flush=True)


def flood() -> None:
    """Connections as quick as they are made, by several processes."""
    for _ in range(3):
        if os.fork() == 0:
            break
    print("started", flush=True)
    while True:
        try:
            with _dial() as sock:
                sock.send(b"i--")
        except OSError:
            pass


def silent() -> None:
    """Connections that ask for nothing, as many as there may be."""
    held = []
    print("started", flush=True)
    while True:
        try:
            held.append(_dial())
        except OSError:
            time.sleep(0.01)


if __name__ == "__main__":
    import sys

    globals()[sys.argv[1]]()
