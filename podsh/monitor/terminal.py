"""A program's terminal: the pty master, what was seen on it, and who looks at it.

One viewer may hold the terminal (its keys go to the program, its size counts); any number may
watch. A holder that is slow slows the program down, as a terminal does; a watcher that is slow
misses output and is given the last screenful again when it comes back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import termios
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.logs import Log
    from podsh.monitor.loop import Loop
    from podsh.monitor.output import Both
    from podsh.wire.channel import Channel

READ_BYTES = 1 << 16
RING_BYTES = 256 << 10
REPLAY_BYTES = 32 << 10
HIGH_WATER = 256 << 10
STALL_S = 1.0
# a holder that takes nothing at all for so long loses what is left when the program is gone
PATIENCE_S = 10.0
# after its exit a program's last output is awaited for so long where others hold its pty open
LINGER_S = 0.1

_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,40})([hl])|\x1b([=>])")
_QUERY = re.compile(rb"\x1b\[(?:[>=]?0?c|\??[56]n|\?[0-9;]*\$p)|\x1bP[+$]q[^\x1b]*\x1b\\")
_TRACKED = frozenset((1, 7, 9, 25, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004))
_ALTERNATE = frozenset((47, 1047, 1049))
# open the other side of a pty master, whatever is mounted where: man 2 TIOCGPTPEER
_TIOCGPTPEER = 0x5441
_DA1 = re.compile(rb"\x1b\[0?c")


class Modes:
    """Terminal modes that a program has set, followed through its output."""

    __slots__ = ("_tail", "alternate", "keypad", "on")

    def __init__(self) -> None:
        self.on: dict[int, bool] = {}
        self.alternate = False
        self.keypad = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        if self._tail:
            data = self._tail + data
            self._tail = b""
        elif b"\x1b" not in data:
            return
        for numbers, switch, keypad in _MODE.findall(data):
            if keypad:
                self.keypad = keypad == b"="
                continue
            for number in map(int, filter(None, numbers.split(b";"))):
                if number in _TRACKED:
                    self.on[number] = switch == b"h"
                elif number in _ALTERNATE:
                    self.alternate = switch == b"h"
        last = data.rfind(b"\x1b", -48)
        if last >= 0 and not _MODE.match(data, last):
            self._tail = data[last:]

    def restore(self) -> bytes:
        """Sequences that bring a fresh terminal into these modes."""
        out = [b"\x1b[?%d%c" % (n, b"h"[0] if on else b"l"[0]) for n, on in self.on.items()]
        if self.keypad:
            out.append(b"\x1b=")
        return b"".join(out)


class Terminal:
    """Owns the pty master. ``on_end`` is called once, when nothing more can come from it."""

    def __init__(
        self, loop: Loop, master: int, log: Log | Both | None, on_end: Callable[[Terminal], None]
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
        self._ring: deque[bytes] = deque()
        self._ring_bytes = 0
        self._total = 0
        self._input = bytearray()
        self._blocked: Channel | None = None
        self._patience_s: float | None = None  # with a blocked holder, once the program is gone
        self._behind: set[Channel] = set()
        self.modes = Modes()
        self.holder: Channel | None = None
        self.watchers: list[Channel] = []
        self._loop.add_reader(master, self._readable)

    # -- output

    def _readable(self) -> None:
        chunks: list[bytes] = []
        size = 0
        ended = False
        while size < READ_BYTES:
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                break
            except OSError as exc:
                # EIO: the last descriptor of the other side is closed (man 4 pty)
                if exc.errno == errno.EINTR:
                    continue
                ended = True
                break
            if not data:
                ended = True
                break
            chunks.append(data)
            size += len(data)
        if size:
            self._seen(b"".join(chunks))
        if ended:
            self.close()

    def _seen(self, data: bytes) -> None:
        self.modes.feed(data)
        self._ring.append(data)
        self._ring_bytes += len(data)
        self._total += len(data)
        while self._ring_bytes > RING_BYTES and len(self._ring) > 1:
            self._ring_bytes -= len(self._ring.popleft())
        if self._log is not None:
            self._log.write(data)
        if self.holder is not None:
            self._give(self.holder, data)
        elif _DA1.search(data):
            # fish waits ten seconds for this where no terminal answers
            self.write(b"\x1b[?1;2c")
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
            viewer.send_data(self.replay())
        if viewer is self._blocked:
            self._unblock()

    def replay(self) -> bytes:
        """What a viewer that comes now is shown: the end of the output, then the modes."""
        if self.modes.alternate:
            return b"\x1b[?1049h\x1b[H\x1b[2J" + self.modes.restore()
        data = b"".join(self._ring)
        if len(data) > REPLAY_BYTES:
            data = data[-REPLAY_BYTES:]
            data = data[data.find(b"\n") + 1 :]
        return _QUERY.sub(b"", data) + self.modes.restore()

    def seen(self) -> bytes:
        """The end of what was written so far, as it is."""
        return b"".join(self._ring)

    # -- viewers

    def hold(self, viewer: Channel, *, replay: bool) -> Channel | None:
        """Make ``viewer`` the holder; the former one, if any, is returned."""
        former = self.holder
        if former is not None:
            self.leave(former)
        viewer.on_drain = self._drained
        self.holder = viewer
        if replay:
            viewer.send_data(self.replay())
        return former

    def watch(self, viewer: Channel, *, replay: bool) -> None:
        viewer.on_drain = self._drained
        self.watchers.append(viewer)
        if replay:
            viewer.send_data(self.replay())

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

    def write(self, data: bytes) -> None:
        """Keys for the program; queued where it does not read them."""
        if self._fd < 0:
            return
        if not self._input:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return
            data = data[sent:]
            if not data:
                return
            self._loop.add_writer(self._fd, self._writable)
        # a program that never reads must not make podsh grow: what is too much is dropped
        self._input += data[: HIGH_WATER - len(self._input)]

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

    def resize(self, rows: int, cols: int) -> None:
        """TIOCSWINSZ; the kernel sends SIGWINCH where the size changes."""
        if self._fd >= 0 and 0 < rows < 65536 and 0 < cols < 65536:
            fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def redraw(self, rows: int, cols: int) -> None:
        """Make a full-screen program draw itself again: equal sizes send no SIGWINCH."""
        self.resize(max(rows - 1, 1), cols)
        self._loop.call_later(0.02, self.resize, rows, cols)

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
