"""A pod's own X server: in a jail of its own beside the pod's, with which it ends.

It takes what hostile clients send, so it has no more of the machine than a pod of the profile
``base``: its own namespaces, no network, and of the host's display, where it shows itself, the
socket and the cookie alone.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.errors import LaunchFailed
from podsh.jail import build, encode, orders
from podsh.monitor.bounds import Bounds
from podsh.monitor.filters import filter_of
from podsh.monitor.launch import encoded
from podsh.operations import JailPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.loop import Loop

START_S = 20.0
_SERVER = 1
_WORDS_BYTES = 2048


class XServer:
    """One pod's X server. Owns its init, and the terminal that it writes to."""

    def __init__(
        self, fields: dict[str, Any], template_fd: int, group: dict[str, Any] | None
    ) -> None:
        """Start it; returns once clients may connect. Raises LaunchFailed, with its last words.

        fields: ``plan`` of its jail; ``directory``, where its socket appears: of the pod's state,
        removed by ``watch``. group: the pod's, whose limits hold for both.
        """
        self._directory: str = fields["directory"]
        self._plan = JailPlan.from_wire(fields["plan"])
        self._words = b""
        self._master = -1
        self._pid = 0
        self._told: Callable[[str], None] = lambda text: None
        self._loop: Loop | None = None
        self._init = orders.Init.spawn(paths.init_binary())
        try:
            with build.Builder(self._plan.ops) as builder:
                own_net = self._plan.network.own
                records, mounts = builder.shown(0)
                self._init.prepare(template_fd, encode.plan(records), own_net, mounts)
                records, mounts = builder.hidden(self._init.prepared)
                self._pid = self._init.launch(template_fd, encode.plan(records), own_net, mounts)
            if group is not None:
                # what clients have it keep is theirs
                Bounds(group, self._pid)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        ready, said = os.pipe2(os.O_CLOEXEC)
        try:
            stdio = (-1, said, None)
            code = filter_of(self._plan.filter)
            data = encoded(self._plan.program, stdio, (24, 200), code)
            self._init.send_run(_SERVER, data, stdio)
            os.close(said)
            said = -1
            self._await(ready)
        finally:
            os.close(ready)
            if said >= 0:
                os.close(said)

    def _await(self, ready: int) -> None:
        """Until it has written its number, and the line's end too: it dies where nobody reads."""
        end = time.monotonic() + START_S
        number = b""
        while not number.endswith(b"\n"):
            watched = [self._init.fileno(), ready]
            if self._master >= 0:
                watched.append(self._master)
            found, _, _ = select.select(watched, [], [], max(end - time.monotonic(), 0))
            if not found:
                raise self._failure("does not get ready")
            if self._master in found:
                self._listen()
            if self._init.fileno() in found and not self._obey():
                raise self._failure("ended")
            if ready in found:
                number += os.read(ready, 64)

    def _obey(self) -> bool:
        """Take what init says; False where the server is gone."""
        while True:
            try:
                message = self._init.receive()
            except BlockingIOError:
                return True
            except OSError:
                return False
            if message is None or message.kind == orders.EXITED:
                self._listen()
                return False
            if message.kind == orders.FAILED:
                raise orders.failure(message)
            if message.kind == orders.STARTED:
                (self._master,) = message.fds
                os.set_blocking(self._master, False)

    def _listen(self) -> bool:
        """What it writes would fill its terminal; the end of it is kept. False at its end."""
        try:
            while data := os.read(self._master, 4096) if self._master >= 0 else b"":
                self._words = (self._words + data)[-_WORDS_BYTES:]
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _failure(self, what: str) -> LaunchFailed:
        words = self._words.decode("utf-8", "replace").replace("\r", "").strip()
        cause = f"{self._plan.program.argv[0]} {what}" + (f": {words}" if words else "")
        return LaunchFailed(cause, place="--x11 nested")

    # -- in the monitor's loop

    def watch(self, loop: Loop, told: Callable[[str], None]) -> None:
        """The pod has its socket; say when it ends before the pod does."""
        self._forget()
        self._loop, self._told = loop, told
        loop.add_reader(self._init.fileno(), self._from_init)
        loop.add_reader(self._master, self._from_terminal)

    def _from_init(self) -> None:
        try:
            alive = self._obey()
        except LaunchFailed:
            alive = False
        if not alive:
            self._end()
            self._told("the pod's X server has ended, and what it showed with it")

    def _from_terminal(self) -> None:
        if not self._listen() and self._loop is not None:
            self._loop.remove_reader(self._master)

    def _end(self) -> None:
        if self._loop is not None and self._init.fileno() >= 0:
            self._loop.remove_reader(self._master)
            self._loop.remove_reader(self._init.fileno())
        self._init.close()

    def _forget(self) -> None:
        """Remove the socket's name: who has it mounted needs none."""
        try:
            for name in os.listdir(self._directory):
                os.unlink(os.path.join(self._directory, name))
            os.rmdir(self._directory)
        except OSError:
            pass  # with the pod's state, then

    def close(self) -> None:
        """End it."""
        self._end()
        self._forget()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        if self._pid:
            try:
                os.waitpid(self._pid, 0)
            except ChildProcessError:
                pass
            self._pid = 0
