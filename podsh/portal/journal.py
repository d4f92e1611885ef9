"""What happened: kept for who asks later, told to who follows."""

from __future__ import annotations

import heapq
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.errors import UsageError
from podsh.wire.framing import encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podsh.wire.channel import Channel

    Event = dict[str, Any]

# of one kind of one pod, so that a flood of one thing pushes nothing else out; and of everything
KEPT_OF_A_KIND = 1000
KEPT = 20_000
# a follower that does not read is cut off
MAX_QUEUED = 4 << 20


class Wanted(NamedTuple):
    """Which events: of these pods and kinds (empty: all), from ``after`` on (seconds, epoch)."""

    pods: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    after: float = 0.0

    @classmethod
    def of(cls, message: dict[str, Any]) -> Wanted:
        """From a client's ``events``."""
        pods, kinds = message.get("pods") or (), message.get("kinds") or ()
        return cls(frozenset(map(str, pods)), frozenset(map(str, kinds)), _seconds(message))

    def takes(self, event: Event) -> bool:
        return (
            (not self.pods or event.get("pod") in self.pods)
            and (not self.kinds or event.get("ev") in self.kinds)
            and (not self.after or event.get("ts", 0.0) >= self.after)
        )


def _seconds(message: dict[str, Any]) -> float:
    after = message.get("after")
    if after is not None and not isinstance(after, (int, float)):
        raise UsageError("after is no time", place="events")
    return float(after or 0.0)


class Journal:
    """The events of all pods. ``begun``: since when they are here. on_slow: called with a follower
    that took too little, which is closed already."""

    def __init__(self, on_slow: Callable[[Channel], None]) -> None:
        self.begun = time.time()
        self._on_slow = on_slow
        self._followers: dict[Channel, Wanted] = {}
        self._kept: dict[tuple[str, str], deque[tuple[int, Event]]] = {}
        self._count = 0
        self._newest = 0
        self._oldest = 0

    def add(self, event: Event) -> None:
        """Keep it, and tell it."""
        self._newest += 1
        self._keep(self._newest, event)
        frame = b""
        for follower, wanted in list(self._followers.items()):
            if wanted.takes(event):
                frame = frame or encode_json(event)
                follower.write(frame)
                if follower.queued > MAX_QUEUED:
                    follower.close()
                    self.leave(follower)
                    self._on_slow(follower)

    def add_past(self, events: Iterable[Event]) -> None:
        """Keep what happened before all that is kept; nobody is told."""
        ordered = sorted(events, key=lambda event: float(event["ts"]), reverse=True)
        for event in ordered[: max(KEPT - self._count, 0)]:
            self._oldest -= 1
            self._keep(self._oldest, event)

    def _keep(self, number: int, event: Event) -> None:
        key = str(event.get("pod")), str(event.get("ev"))
        row = self._kept.setdefault(key, deque())
        if number < 0:
            if len(row) < KEPT_OF_A_KIND:
                row.appendleft((number, event))
                self._count += 1
            return
        row.append((number, event))
        self._count += 1
        if len(row) > KEPT_OF_A_KIND:
            row.popleft()
            self._count -= 1
        elif self._count > KEPT:
            self._thin_out()

    def _thin_out(self) -> None:
        """A tenth goes, once for many: of the longest rows the older half, of single events the
        oldest."""
        kept = self._kept
        for key in sorted(kept, key=lambda key: (-len(kept[key]), kept[key][0][0])):
            row = kept[key]
            half = (len(row) + 1) // 2
            for _ in range(half):
                row.popleft()
            self._count -= half
            if not row:
                del kept[key]
            if self._count <= KEPT * 9 // 10:
                return

    def past(self, wanted: Wanted, last: int | None = None) -> list[Event]:
        """What is kept, in order; ``last``: no more than so many."""
        rows = [row for row in self._kept.values() if any(wanted.takes(e) for _, e in row)]
        found = [event for _, event in heapq.merge(*rows) if wanted.takes(event)]
        return found if last is None else found[max(len(found) - last, 0) :]

    def knows(self, pod: str) -> bool:
        """Whether something of a pod of that name is kept."""
        return any(name == pod for name, _ in self._kept)

    def follow(self, follower: Channel, wanted: Wanted) -> None:
        """From now on."""
        self._followers[follower] = wanted

    def leave(self, follower: Channel) -> None:
        """It follows no more."""
        self._followers.pop(follower, None)
