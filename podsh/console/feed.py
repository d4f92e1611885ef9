"""The portal's events for the console: a thread of its own, so that it reads during an attach."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.console.events import Bursts
from podsh.errors import Disconnected, PodshError
from podsh.kernel.inotify import watch as watch_directory
from podsh.portal.client import connect, connect_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.portal.client import Client

KEPT_LINES = 500
# where nobody can tell when a portal comes, and after one that was there
_RETRY_S = 0.5
# one that follows one that died is tried so often
_TRIES, _AGAIN_S = 5, 0.1
# in a flood the lists are looked at so often at most
_LOOK_S = 0.1
# the person who attaches knows that they do
_QUIET = frozenset(("attached", "detached"))


class Feed(threading.Thread):
    """Follows events on a connection of its own, and keeps the lists of pods and requests fresh.

    pods: the rows of ``ps`` as they last were (replaced, never changed); None without a portal.
    requests: the rows of those that wait. ``wake()`` is called in this thread when there are new
    lines to ``take()``, or a list changed. width: gives the terminal's columns, 0 for endless.
    """

    def __init__(
        self, wake: Callable[[], None], *, color: bool = False, width: Callable[[], int] = int
    ) -> None:
        super().__init__(name="podsh-feed", daemon=True)
        self.pods: list[dict[str, Any]] | None = None
        self.requests: list[dict[str, Any]] = []
        self.asked = 0  # the newest request among the events
        self.listed: frozenset[int] = frozenset()  # requests that were shown already
        self._wake = wake
        self._width = width
        self._bursts = Bursts(home=os.path.expanduser("~"), color=color)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._missed = 0
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._gap = False  # events were followed before, so that some may be missing
        self._stopping = False
        self._over, self._end = os.pipe()

    def take(self) -> list[str]:
        """The event lines since the last call; a burst that was too long says so."""
        with self._lock:
            lines, missed = list(self._lines), self._missed
            self._lines.clear()
            self._missed = 0
        return [f"… {missed} earlier lines: see events", *lines] if missed else lines

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping = True
        os.write(self._end, b"\0")
        client = self._client
        if client is not None:
            client.interrupt()
        self.join(2.0)
        if not self.is_alive():
            os.close(self._end)
            os.close(self._over)

    def run(self) -> None:
        while not self._stopping:
            watch = _watch()  # before a portal is looked for: none is missed
            try:
                if client := self._connect():
                    if watch >= 0:
                        os.close(watch)
                        watch = -1
                    self._follow(client)
            except Disconnected:
                if self._client is not None and not (self._client.dismissed or self._stopping):
                    self._add(["the portal died; another one finds the pods"])
                    self._start()
            except (PodshError, OSError):
                pass  # the portal went away, or is another version's; another may come
            except KeyboardInterrupt:
                return
            finally:
                if self._client is not None:
                    self._client.close()
                    self._client = None
                self.pods, self.requests = None, []
                self._wake()
                self._lull(watch)

    def _start(self) -> None:
        """So that what pods ask for is seen, whether a command is given or not."""
        for _ in range(_TRIES):
            try:
                with contextlib.closing(connect()) as client:
                    client.hello()  # the socket of one that dies may still take connections
                    return
            except (PodshError, OSError):
                if select.select([self._over], [], [], _AGAIN_S)[0]:
                    return

    def _lull(self, watch: int) -> None:
        """Until a portal may be there, or this is to end. Closes ``watch``."""
        if watch < 0:
            select.select([self._over], [], [], _RETRY_S)
            return
        try:
            select.select([self._over, watch], [], [])
        finally:
            os.close(watch)

    def _connect(self) -> Client | None:
        """Follow the events of a portal, if one is there."""
        client = self._client = connect_running()
        if client is not None:
            client.call("events", console=True)
            if self._gap:
                self._add(["… some may be missing here: see events"])
            self._gap = True
        return client

    def _follow(self, client: Client) -> None:
        looked = 0.0
        stale = True
        while True:
            now = time.monotonic()
            wait_s = self._bursts.wait_s(now)
            if stale:
                due_s = max(looked + _LOOK_S - now, 0.0)
                wait_s = due_s if wait_s is None else min(wait_s, due_s)
            events = client.news(wait_s)
            now = time.monotonic()
            self._bursts.width = self._width()
            for event in events:
                stale = True
                if event.get("ev") == "request" and isinstance(event.get("id"), int):
                    self.asked = event["id"]
                    if self.asked in self.listed:
                        continue
                if event.get("ev") != "live" and event.get("ev") not in _QUIET:
                    self._add(self._bursts.add(event, now))
            self._add(self._bursts.due(now))
            if stale and now >= looked + _LOOK_S:
                pods = client.call("ps")["pods"]
                waiting = any(pod.get("waiting") for pod in pods)
                self.requests = client.call("requests")["requests"] if waiting else []
                self.pods = pods
                stale, looked = False, now
            if looked == now or self._lines:
                self._wake()

    def _add(self, lines: list[str]) -> None:
        with self._lock:
            for line in lines:
                self._missed += len(self._lines) == KEPT_LINES
                self._lines.append(line)


def _watch() -> int:
    """A descriptor that tells when the portal's socket may have come; -1: that cannot be had."""
    try:
        return watch_directory(paths.runtime_dir())
    except OSError:
        return -1
