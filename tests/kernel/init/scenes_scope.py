"""Scenes: pods that share the host's network, with Landlock's scopes around them."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

from podsh.jail import encode, orders
from podsh.kernel import landlock
from tests.kernel.init.pod import Pod, clone

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT = (
    "import errno, socket, sys\n"
    "def tried(name):\n"
    "    try:\n"
    "        socket.socket(socket.AF_UNIX).connect('\\0' + name)\n"
    "        return 'connected'\n"
    "    except OSError as exc:\n"
    "        return errno.errorcode[exc.errno]\n"
)


def _scoped(*more: orders.Record) -> Pod:
    pod = Pod(standby=False)
    pod.records += [encode.scope(), *more]
    return pod


def scope() -> None:
    """The host's abstract sockets are out of reach, by a call that nobody else decides about."""
    name = f"podsh-scene-{os.getpid()}"
    code = CONNECT + "print(tried(sys.argv[1]))"
    with socket.socket(socket.AF_UNIX) as host:
        host.bind("\0" + name)
        host.listen(9)
        with Pod(standby=False) as pod:
            pod.launch(net=False)
            assert pod.python(code, name) == "connected\n"
        if landlock.has_scopes():  # e2e tests need it where everything must work
            with _scoped() as pod:
                pod.launch(net=False)
                assert pod.python(code, name) == "EPERM\n"


def one_scope() -> None:
    """Programs of one pod, started one by one, are in it together, and init has its hands free."""
    if not landlock.has_scopes():
        return
    listen = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('\\0' + sys.argv[1]); s.listen()\n"
        "print('ready', flush=True)\n"
        "s.accept(); input()\n"
    )
    name = f"podsh-inside-{os.getpid()}"
    with _scoped() as pod:
        pod.launch(net=False)
        one = pod.run("/usr/bin/python3", "-I", "-S", "-c", listen, name)
        one.read_until(b"ready")
        assert pod.python(CONNECT + "print(tried(sys.argv[1]))", name) == "connected\n"
        pod.said("sh", "-c", "for p in /proc/[2-9]*; do kill -USR1 ${p#/proc/}; break; done")
        one.output()
        assert os.WTERMSIG(one.exited().status) == signal.SIGUSR1
        # signals of init's, links and renames of the pod's, and mounts as ever
        two = pod.run("sleep", "100")
        pod.init.send_signal(two.id, signal.SIGTERM, 0)
        assert os.WTERMSIG(two.exited().status) == signal.SIGTERM
        pod.said("sh", "-c", "cd /tmp; mkdir a b; echo x >a/f; ln a/f b/g; mv a/f b; ls b")
        tree = clone("/etc")
        ident = pod.next_id()
        pod.init.send_attach(ident, "/tmp/a", False, tree)
        os.close(tree)
        pod.expect(orders.ACK, ident)
        pod.said("test", "-e", "/tmp/a/passwd")
        # a program may still keep itself further apart
        assert pod.python(NESTED) == "EPERM\n"


NESTED = CONNECT + (
    "import ctypes, os\n"
    "libc = ctypes.CDLL(None)\n"
    "s = socket.socket(socket.AF_UNIX); s.bind('\\0nested'); s.listen()\n"
    "libc.prctl(38, 1, 0, 0, 0)\n"
    "attr = (ctypes.c_uint64 * 3)(0, 0, 3)\n"
    "assert libc.syscall(446, libc.syscall(444, attr, 24, 0), 0) == 0\n"
    "print(tried('nested'))\n"
)

SCENES: list[Callable[[], None]] = [scope, one_scope]
