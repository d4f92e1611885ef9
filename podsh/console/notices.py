"""For who is attached: a bell for each request, and the title says how many wait.

On a connection of its own to the portal, as a console: who sees that a request waits can answer it,
so it is held. What is written goes between the program's characters and sequences, never into one.
"""

from __future__ import annotations

import time

from podsh.console import screen
from podsh.errors import PodshError
from podsh.portal.client import connect, connect_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podsh.portal.client import Client

# what is to be told waits so long for the end of a sequence of the program's
TELL_S = 0.3
_BELL_S = 1.0
_DECIDED = frozenset(("grant", "denial", "gone"))
_ENDED = frozenset(("exit", "failed", "lost", "removed"))


class Notices:
    """One attachment's. ``waiting``: the requests that wait, by number, and their pods.

    name: of the pod, as shown text. titles: the terminal has one that may be set. saved: who
    attaches has set it already, and puts the person's back.
    """

    __slots__ = (
        "_boundary",
        "_client",
        "_name",
        "_rang_at",
        "_ring",
        "_saved",
        "_stale_at",
        "_titled",
        "_titles",
        "waiting",
    )

    def __init__(self, client: Client, name: str, *, titles: bool, saved: bool) -> None:
        self._client = client
        self._name = name
        self._titles = titles
        self._saved = saved
        self._titled = 0  # the number in the title; 0: it is not ours
        self._ring = False
        self._rang_at = float("-inf")
        self._stale_at = 0.0  # since when there is something to tell; 0: there is not
        self._boundary = screen.Boundary()
        self.waiting: dict[int, str] = {}
        self._ask()

    def _ask(self) -> None:
        self._client.call("events", console=True)
        rows = self._client.call("requests")["requests"]
        self.waiting = {int(row["id"]): str(row["pod"]) for row in rows}

    def _again(self) -> None:
        """Of the portal that follows one that died."""
        died = not self._client.dismissed
        self.close()
        if not died:
            return
        try:
            self._client = connect()
            self._ask()
        except (PodshError, OSError):
            self.close()

    @classmethod
    def open(cls, name: str, *, titles: bool, saved: bool) -> Notices | None:
        """None where there is no portal to ask."""
        client = None
        try:
            client = connect_running()
            return cls(client, name, titles=titles, saved=saved) if client is not None else None
        except (PodshError, OSError):
            if client is not None:
                client.close()
            return None

    def fileno(self) -> int:
        """To be polled; -1 once the portal is gone."""
        return self._client.fileno()

    def close(self) -> None:
        self._client.close()

    def turn(self) -> None:
        """Take what has come."""
        try:
            events = self._client.news(0)
        except (PodshError, OSError):
            self._again()
            events = []
        for event in events:
            kind, ident = event.get("ev"), event.get("id")
            if kind == "request" and isinstance(ident, int):
                self._ring |= ident not in self.waiting
                self.waiting[ident] = str(event.get("pod"))
            elif kind in _DECIDED and isinstance(ident, int):
                self.waiting.pop(ident, None)
            elif kind in _ENDED:
                over = [i for i, pod in self.waiting.items() if pod == event.get("pod")]
                for each in over:
                    del self.waiting[each]
        if not self._stale_at and (self._ring or len(self.waiting) != self._titled):
            self._stale_at = time.monotonic()

    def shown(self, data: bytes) -> None:
        """The program's output, as it is written to the terminal."""
        self._boundary.feed(data)

    @property
    def patience_ms(self) -> float | None:
        """How long at most until ``take`` is to be called; None: there is nothing to tell."""
        return TELL_S * 1000 if self._stale_at else None

    def take(self) -> bytes:
        """What is to be written now."""
        if not self._stale_at:
            return b""
        now = time.monotonic()
        start = b""
        if self._boundary.open:
            if now < self._stale_at + TELL_S:
                return b""
            start = b"\x18"  # CAN: what is never ended is given up
            self._boundary = screen.Boundary()
        self._stale_at = 0.0
        if self._ring and now >= self._rang_at + _BELL_S:
            start, self._rang_at = start + b"\a", now
        self._ring = False
        return start + self._title(len(self.waiting))

    def begin(self) -> bytes:
        """What is to be written before the program's output."""
        return self._title(len(self.waiting))

    def end(self) -> bytes:
        """What puts the person's title back."""
        return b"\x18" + self._title(0) if self._titled and not self._saved else b""

    def _title(self, count: int) -> bytes:
        if not self._titles or count == self._titled:
            return b""
        before, self._titled = self._titled, count
        if count:
            save = b"" if self._saved or before else screen.SAVE_TITLE
            return save + screen.title(f"[{count} waiting] {self._name} - podsh")
        return screen.title(f"{self._name} - podsh") if self._saved else screen.RESTORE_TITLE
