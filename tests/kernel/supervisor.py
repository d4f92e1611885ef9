"""A program under the notifying filter, and a small monitor of it: sees and answers its calls."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

from podsh.kernel import memory, notify, seccomp, syscalls
from podsh.kernel.fds import memfd
from podsh.kernel.pathcalls import CALLS, Act, Asked, asked
from podsh.kernel.seccomp import FilterSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.helpers.callers import Caller

PYTHON = os.path.join(sys.base_exec_prefix, "bin", "python3")
ARCH = syscalls.native()
NAMES = {number: name for name, number in syscalls.NAMES[ARCH].items() if name in CALLS}

# descriptor 3: the filter; 4: where its listener goes; 5: closed once somebody listens
START = """
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = os.read(3, 1 << 16)
buffer = ctypes.create_string_buffer(code, len(code))
program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0
listener = libc.syscall(%d, 1, 8 | 32, ctypes.c_char_p(program))
assert listener >= 0, ctypes.get_errno()
socket.send_fds(socket.socket(fileno=4), [b"x"], [listener])
os.close(listener)
os.close(3)
os.environ.clear()
os.environ.update(dict(item.split("=", 1) for item in sys.argv[1].split("\\n") if item))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Call(NamedTuple):
    """One held call: its name, what it asks for and the first of its paths."""

    name: str
    asked: list[Asked]
    path: str


class Supervised:
    """A program and the thread that answers its calls; ``seen``: in their order."""

    def __init__(
        self,
        caller: Caller,
        argv: list[str],
        env: dict[str, str],
        *,
        cwd: Path | str = "/",
        answer: Callable[[Call], int] = lambda call: 0,
        **how: Any,
    ) -> None:
        """``answer``: the errno of a call; 0: it goes on."""
        self.seen: list[Call] = []
        self._answer = answer
        self._failed: BaseException | None = None
        ours, theirs = socket.socketpair()
        with memfd(seccomp.build(FilterSpec(notify=True))) as program, ours, theirs:
            # bash puts them on 3 and 4
            inherited = (program.fileno(), theirs.fileno())
            shell = 'exec 3<"/proc/self/fd/$0" 4<&"$1"; shift; exec "$@"'
            variables = "\n".join(f"{key}={value}" for key, value in env.items())
            start = [PYTHON, "-I", "-c", START % syscalls.number("seccomp"), variables, *argv]
            self.process = subprocess.Popen(
                ["bash", "-c", shell, *map(str, inherited), *start],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=inherited,
                cwd=cwd,
                **{**caller.popen(), **how},
            )
            theirs.close()
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        if not fds:
            raise AssertionError(self.process.communicate()[1])
        self.listener = fds[0]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        events = select.poll()
        events.register(self.listener, select.POLLIN)
        try:
            while not events.poll()[0][1] & select.POLLHUP:
                self._one()
        except BaseException as exc:
            self._failed = exc
            self.process.kill()

    def _one(self) -> None:
        try:
            held = notify.receive(self.listener)
        except FileNotFoundError:
            return
        name = NAMES[held.nr]
        names = asked(name, held.args, ARCH)
        try:
            path = memory.Reader().bytes(held.pid, names[0].address, 4096).split(b"\0")[0]
        except OSError:
            path = b""
        if names[0].act is Act.CONNECT:
            path = b""
        call = Call(name, names, os.fsdecode(path))
        self.seen.append(call)
        if error := self._answer(call):
            notify.refuse(self.listener, held.id, error)
        else:
            notify.proceed(self.listener, held.id)

    def finish(self, given: str = "") -> str:
        """Wait for its end; what it has printed."""
        out, err = self.process.communicate(given, timeout=40)
        self._thread.join()
        os.close(self.listener)
        if self._failed is not None:
            raise self._failed
        assert self.process.returncode == 0, (self.process.returncode, out, err)
        assert err == ""
        return out

    def below(self, folder: Path | str) -> list[tuple[str, str]]:
        """(call, rest of the path) of what was asked for below ``folder``."""
        start = f"{folder}/"
        return [
            (call.name, call.path.removeprefix(start))
            for call in self.seen
            if call.path.startswith(start)
        ]
