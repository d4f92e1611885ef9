"""A program's terminal: the pty master, what was seen on it, and who looks at it.

One viewer may hold the terminal (its keys go to the program, its size counts); any number may
watch. A holder that is slow slows the program down, as a terminal does; a watcher that is slow
misses output and is given the last screenful again when it comes back.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
from typing import TYPE_CHECKING

from podsh.kernel.take import take
from podsh.monitor.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.logs import Log
    from podsh.monitor.loop import Loop
    from podsh.monitor.output import Both
    from podsh.wire.channel import Channel

HIGH_WATER = 256 << 10
STALL_S = 1.0
# a holder that takes nothing at all for so long loses what is left when the program is gone
PATIENCE_S = 10.0
# after its exit a program's last output is awaited for so long where others hold its pty open
LINGER_S = 0.1
# a size that lasts shorter is missed by a program that is busy
REDRAW_S = 0.02

# open the other side of a pty master, whatever is mounted where: man 2 TIOCGPTPEER
_TIOCGPTPEER = 0x5441
# fish waits ten seconds for an answer to DA1; DSR is what others wait for
_ANSWERED = re.compile(rb"\x1b\[(?:0?(c)|5n)")
_LONGEST_QUESTION = 4
_MOST_ANSWERS = 16


class Terminal:
    """Owns the pty master. ``on_end`` is called once, when nothing more can come from it."""

    def __init__(
        self,
        loop: Loop,
        master: int,
        log: Log | Both | None,
        on_end: Callable[[Terminal], None],
        size: tuple[int, int] = (24, 80),
    ) -> None:
        os.set_blocking(master, False)
        self._fd = master
        # a program with pipes for 0-2 keeps no descriptor of its terminal: held for it, or the
        # terminal would hang up under it
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        self._peer: int = fcntl.ioctl(master, _TIOCGPTPEER, flags)
        self._log = log
        self._on_end = on_end
        self._loop = loop
        self._total = 0
        self._asking = b""  # the end of the last output, while nobody is there
        self._input = bytearray()
        self._blocked: Channel | None = None
        self._patience_s: float | None = None  # with a blocked holder, once the program is gone
        self._behind: set[Channel] = set()
        self._size = size
        self.screen = Screen()
        self.holder: Channel | None = None
        self.watchers: list[Channel] = []
        self._loop.add_reader(master, self._readable)

    # -- output

    def _readable(self) -> None:
        data, ended = take(self._fd)
        if data:
            self._seen(data)
        if ended:
            self.close()

    def _seen(self, data: bytes) -> None:
        self.screen.feed(data)
        self._total += len(data)
        if self._log is not None:
            self._log.write(data)
        if self.holder is not None:
            self._give(self.holder, data)
        else:
            self._answer(data)
        for watcher in self.watchers:
            self._give(watcher, data)

    def _give(self, viewer: Channel, data: bytes) -> None:
        if viewer in self._behind:
            return
        viewer.send_data(data)
        if viewer.queued <= HIGH_WATER:
            return
        if viewer is self.holder:
            if self._blocked is None:
                self._blocked = viewer
                self._loop.remove_reader(self._fd)
                self._loop.call_later(STALL_S, self._stalled, viewer, viewer.queued)
        else:
            self._behind.add(viewer)

    def _stalled(self, viewer: Channel, queued: int) -> None:
        """A holder that takes nothing must not keep the output from the others."""
        if self._blocked is not viewer:
            return
        if self._patience_s is not None:
            self._patience_s -= STALL_S
        over = self._patience_s is not None and self._patience_s <= 0
        if viewer.queued < queued or not (self.watchers or over):
            self._loop.call_later(STALL_S, self._stalled, viewer, viewer.queued)
            return
        self._behind.add(viewer)
        self._unblock()

    def _unblock(self) -> None:
        if self._blocked is not None:
            self._blocked = None
            if self._fd >= 0:
                self._loop.add_reader(self._fd, self._readable)

    def _drained(self, viewer: Channel) -> None:
        if viewer in self._behind:
            self._behind.discard(viewer)
            viewer.send_data(self.screen.replay())
        if viewer is self._blocked:
            self._unblock()

    def _answer(self, data: bytes) -> None:
        """Nobody is there: what programs ask a terminal at their start is answered for it."""
        seen = self._asking + data
        self._asking = seen[1 - _LONGEST_QUESTION :]
        if b"\x1b[" not in seen:
            return
        asked = [found for found in _ANSWERED.finditer(seen) if found.end() > len(seen) - len(data)]
        if asked:
            answers = (b"\x1b[?1;2c" if found[1] else b"\x1b[0n" for found in asked)
            self.write(b"".join([*answers][:_MOST_ANSWERS]))

    # -- viewers

    def hold(self, viewer: Channel, *, replay: bool) -> Channel | None:
        """Make ``viewer`` the holder; the former one, if any, is returned."""
        former = self.holder
        if former is not None:
            self.leave(former)
        self._asking = b""
        viewer.on_drain = self._drained
        self.holder = viewer
        if replay:
            viewer.send_data(self.screen.replay())
        return former

    def watch(self, viewer: Channel, *, replay: bool) -> None:
        viewer.on_drain = self._drained
        self.watchers.append(viewer)
        if replay:
            viewer.send_data(self.screen.replay())

    def leave(self, viewer: Channel) -> None:
        """Forget a viewer that detached or is gone."""
        self._behind.discard(viewer)
        if viewer is self.holder:
            self.holder = None
        if viewer in self.watchers:
            self.watchers.remove(viewer)
        if viewer is self._blocked:
            self._unblock()

    # -- input

    def write(self, data: bytes) -> bool:
        """Keys for the program; queued where it does not read them. False: some were dropped."""
        if self._fd < 0:
            return False
        if not self._input:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            data = data[sent:]
            if not data:
                return True
            self._loop.add_writer(self._fd, self._writable)
        # a program that never reads must not make podsh grow: what is too much is dropped
        room = HIGH_WATER - len(self._input)
        self._input += data[:room]
        return len(data) <= room

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._input)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._input)
        del self._input[:sent]
        if not self._input:
            self._loop.remove_writer(self._fd)

    def hang_up(self) -> None:
        """End of input as a terminal gives it: the EOF character."""
        if self._fd >= 0:
            self.write(termios.tcgetattr(self._fd)[6][termios.VEOF])

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._size

    def resize(self, rows: int, cols: int) -> bool:
        """The kernel sends SIGWINCH where the size changes, and who watches is told: whether."""
        if not (0 < rows < 65536 and 0 < cols < 65536):
            return False
        changed = self._size != (rows, cols)
        self._size = (rows, cols)
        self._set_size(rows, cols)
        if changed:
            for watcher in self.watchers:
                watcher.send({"ev": "size", "rows": rows, "cols": cols})
        return changed

    def _set_size(self, rows: int, cols: int) -> None:
        """man 2 TIOCSWINSZ"""
        if self._fd >= 0:
            fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def redraw(self) -> None:
        """Make a full-screen program draw itself again: equal sizes send no SIGWINCH."""
        rows, cols = self._size
        self._set_size(rows - 1 if rows > 1 else 2, cols)
        self._loop.call_later(REDRAW_S, lambda: self._set_size(*self._size))

    # -- end

    def linger(self, *, killed: bool = False) -> None:
        """The program is gone: take what is still on its way, then end.

        A holder that takes nothing is not waited for without an end, and hardly at all where the
        program was ``killed``: a pod that was to be ended does not hang on a stopped client.
        """
        self._patience_s = STALL_S if killed else PATIENCE_S
        self._release()
        if self._blocked is None:
            self._readable()  # mostly all has come, and the end with it
        self._loop.call_later(LINGER_S, self._quiet, self._total)

    def _quiet(self, before: int) -> None:
        if self._fd < 0:
            return
        if self._blocked is not None or self._total != before:
            self._loop.call_later(LINGER_S, self._quiet, self._total)
        else:
            self.close()

    def _release(self) -> None:
        if self._peer >= 0:
            os.close(self._peer)
            self._peer = -1

    @property
    def ended(self) -> bool:
        return self._fd < 0

    def close(self) -> None:
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._release()
        if self._log is not None:
            self._log.close()
        self._on_end(self)
