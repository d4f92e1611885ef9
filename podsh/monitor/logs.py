"""What a pod's programs wrote, on disk, and who reads it there.

A place is a count of bytes since the first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podsh.monitor.loop import Loop
    from podsh.wire.channel import Channel

LOG_BYTES = 4 << 20
_CHUNK = 1 << 18


class Kept:
    """The log of a pod: ``path``, and ``path``.1 for what was before that. ``total``: the place of
    its end."""

    __slots__ = ("_before", "_begun", "_inode", "_readers", "_watch", "path", "total")

    def __init__(self, path: str) -> None:
        self.path = path
        self.total = 0
        self._before = self._begun = 0  # the places at which path.1 and path begin
        self._readers: list[Reader] = []
        self._inode = 0
        self._watch = -1

    def grown(self, size: int) -> None:
        """So many bytes were added."""
        self.total += size
        for reader in self._readers:
            reader.more()

    def renamed(self) -> None:
        """``path`` is ``path``.1 now, and begins anew."""
        self._before, self._begun = self._begun, self.total

    def read(self, place: int) -> tuple[int, bytes]:
        """(the place of the first byte, some bytes); none at the end. What is no longer there is
        left out."""
        place = max(place, self._before)
        if place >= self.total:
            return place, b""
        old = place < self._begun
        begun = self._before if old else self._begun
        size = min(_CHUNK, self._begun - place) if old else _CHUNK
        try:
            with open(self.path + (".1" if old else ""), "rb") as file:
                return place, os.pread(file.fileno(), size, place - begun)
        except OSError:
            return place, b""

    # -- written by another process

    def look(self) -> None:
        """How much is there now, where it is not ``Log`` that writes."""
        try:
            found = os.stat(self.path)
            if self._inode not in (0, found.st_ino):
                self.total = self._begun + os.stat(self.path + ".1").st_size
                self.renamed()
        except OSError:
            return
        self._inode = found.st_ino
        self.grown(self._begun + found.st_size - self.total)

    def watch(self, loop: Loop) -> None:
        """Look whenever something is written there."""
        if self._watch < 0:
            from podsh.kernel.inotify import watch

            self._watch = watch(os.path.dirname(self.path))
            loop.add_reader(self._watch, self._news)
            self.look()

    def _news(self) -> None:
        os.read(self._watch, 1 << 16)
        self.look()

    # -- readers

    def add(self, reader: Reader) -> None:
        self._readers.append(reader)

    def leave(self, channel: Channel) -> None:
        """It reads no more."""
        self._readers = [reader for reader in self._readers if reader.channel is not channel]

    def rest(self) -> None:
        """Queue for every reader all that is there: the files may be gone in a moment."""
        for reader in self._readers:
            reader.rest()

    def finish(self, message: dict[str, Any]) -> None:
        """Tell every reader that nothing more comes."""
        for reader in self._readers:
            reader.channel.send(message)
            reader.channel.finish()

    def close(self, loop: Loop) -> None:
        if self._watch >= 0:
            loop.remove_reader(self._watch)
            os.close(self._watch)
            self._watch = -1


def _rename(path: str, to: str) -> None:
    """What is at ``to`` goes first: a file that takes the place of another is written out at once
    (auto_da_alloc of man 5 ext4)."""
    try:
        os.unlink(to)
    except FileNotFoundError:
        pass
    os.rename(path, to)


class Log:
    """Writes a pod's log; when that has grown full it becomes ``path``.1."""

    __slots__ = ("_fd", "_kept", "_size")

    def __init__(self, kept: Kept, fresh: bool = True) -> None:
        """fresh: what is there is an earlier one's, and goes."""
        self._kept = kept
        self._fd = self._size = -1
        if not fresh:
            self._open(os.O_APPEND)
            return
        # made once there is something to write: many programs say nothing
        try:
            os.unlink(kept.path)
        except OSError:
            pass

    def _open(self, how: int = os.O_TRUNC) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how
        self._size = 0
        try:
            self._fd = os.open(self._kept.path, flags, 0o600)
        except OSError:
            self._fd = -1

    def write(self, data: bytes) -> None:
        """Append; a full disk loses log lines, never the pod."""
        if self._size < 0:
            self._open()
        if self._fd < 0:
            return
        try:
            written = os.write(self._fd, data)
            self._size += written
            self._kept.grown(written)
            if self._size >= LOG_BYTES:
                self.close()
                _rename(self._kept.path, self._kept.path + ".1")
                self._kept.renamed()
                self._open()
        except OSError:
            pass

    def close(self) -> None:
        # never twice: the number may be somebody else's by then
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Reader:
    """One connection that is given the log from a place on; slow or not, it misses nothing.

    stay: also what comes; else it is told the ``end``.
    """

    __slots__ = ("_kept", "_place", "_stay", "channel")

    def __init__(self, channel: Channel, kept: Kept, place: int, *, stay: bool) -> None:
        self.channel = channel
        self._kept = kept
        self._place = place
        self._stay = stay
        channel.on_drain = lambda _: self.more()
        kept.add(self)

    def begin(self, *, told: bool) -> None:
        """told: which place it begins at."""
        if told:
            self._place, _ = self._kept.read(min(self._place, self._kept.total))
            self.channel.send({"ev": "from", "place": self._place})
        self.more()

    def more(self) -> None:
        """Send on what is there, as fast as it is taken."""
        while not self.channel.queued and not self.channel.closed:
            if not self._some():
                if not self._stay:
                    self.channel.send({"ev": "end"})
                    self.channel.finish()
                return

    def rest(self) -> None:
        """Queue all that is there."""
        while self._some():
            pass

    def _some(self) -> bool:
        self._place, data = self._kept.read(self._place)
        if data:
            self.channel.send_data(data)
            self._place += len(data)
        return bool(data)
