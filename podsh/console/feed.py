"""The portal's events for the console: a thread of its own, so that it reads during an attach."""

from __future__ import annotations

import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from podsh.console.render import event_line
from podsh.errors import PodshError
from podsh.portal.client import connect_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.portal.client import Client

KEPT_LINES = 500
_RETRY_S = 0.5
# the person who attaches knows that they do
_QUIET = frozenset(("attached", "detached"))


class Feed(threading.Thread):
    """Follows events on a connection of its own, and keeps the list of pods fresh.

    pods: the rows of ``ps`` as they last were (replaced, never changed); None without a portal.
    ``wake()`` is called in this thread when there are new lines to ``take()``, or pods changed.
    """

    def __init__(self, wake: Callable[[], None], *, color: bool = False) -> None:
        super().__init__(name="podsh-feed", daemon=True)
        self.pods: list[dict[str, Any]] | None = None
        self._wake = wake
        self._color = color
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._missed = 0
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._stopping = threading.Event()

    def take(self) -> list[str]:
        """The event lines since the last call; a burst that was too long says so."""
        with self._lock:
            lines, missed = list(self._lines), self._missed
            self._lines.clear()
            self._missed = 0
        return [f"… {missed} earlier lines: see events", *lines] if missed else lines

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        client = self._client
        if client is not None:
            client.interrupt()
        self.join(2.0)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (PodshError, OSError):
                pass  # the portal went away; another may come
            except KeyboardInterrupt:
                return
            finally:
                if self._client is not None:
                    self._client.close()
                    self._client = None
            self.pods = None
            self._wake()
            self._stopping.wait(_RETRY_S)

    def _follow(self) -> None:
        client = self._client = connect_running()
        if client is None:
            return
        events = client.events(console=True)
        stale = True
        for event in events:
            kind = event.get("ev")
            if kind != "live":
                stale = True
                if kind not in _QUIET:
                    self._add(event_line(event, color=self._color))
            if select.select([client], [], [], 0)[0]:
                continue  # more of a burst: one look at the pods is enough
            if stale:
                self.pods = client.call("ps")["pods"]
                stale = False
            self._wake()

    def _add(self, line: str) -> None:
        if not line:
            return
        with self._lock:
            if len(self._lines) == KEPT_LINES:
                self._missed += 1
            self._lines.append(line)
