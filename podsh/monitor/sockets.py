"""The sockets that a person allowed a pod to connect to: by their paths, and by the objects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh.policy import engine, rules

if TYPE_CHECKING:
    from podsh.jail.wants import Want
    from podsh.policy.engine import Decision
    from podsh.policy.state import State

MAX_KNOWN = 4096


def is_abstract(path: str) -> bool:
    """Whether it is an abstract address, of a network that is not the pod's: of no domain."""
    return path.startswith("@")


class Sockets:
    """One pod's."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], None] = {}  # path, device, inode

    def add(self, path: str, fd: int) -> None:
        """The object that an O_PATH descriptor holds was allowed."""
        self._known[_key(path, fd)] = None
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def has(self, path: str) -> bool:
        """Whether one at that path was allowed."""
        return any(known[0] == path for known in self._known)

    def decide(self, path: str, state: State) -> Decision:
        """About an abstract address."""
        return engine.ALLOWED if self.has(path) else engine.Decision(*rules.unlisted(state))

    def drop(self, path: str) -> None:
        """It is not allowed any more."""
        self._known = {known: None for known in self._known if known[0] != path}

    def covers(self, want: Want) -> bool:
        """Whether a permission for the path of ``want`` is one for the socket that lies there now:
        the pod may have put another in its place."""
        return want.settled or _key(want.path, want.fd) in self._known


def _key(path: str, fd: int) -> tuple[str, int, int]:
    status = os.fstat(fd)
    return path, status.st_dev, status.st_ino
