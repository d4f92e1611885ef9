"""What was asked, decided, given and taken, on disk: JSON lines, added to and never changed."""

from __future__ import annotations

import json
import os
import time
from typing import Any

MAX_BYTES = 4 << 20
# a pod that asks without end fills no disk: so many lines a second, the rest is counted
LINES_PER_S = 200


class Audit:
    """Writes ``path``; when that is full it becomes ``path``.1. Failure to write ends nothing: a
    full disk is told by ``doctor`` and by what is missing here."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._size = 0
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def write(self, event: dict[str, Any]) -> None:
        """One event, with its own time."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
            if self._left_out:
                self._append({"ts": time.time(), "ev": "left_out", "count": self._left_out})
                self._left_out = 0
        self._lines += 1
        if self._lines > LINES_PER_S:
            self._left_out += 1
            return
        self._append(event)

    def _append(self, event: dict[str, Any]) -> None:
        data = json.dumps(event).encode() + b"\n"
        try:
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(self._path, flags, 0o600)
                self._size = os.fstat(self._fd).st_size
            os.write(self._fd, data)
            self._size += len(data)
            if self._size > MAX_BYTES:
                self.close()
                os.replace(self._path, self._path + ".1")
        except OSError:
            pass

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
