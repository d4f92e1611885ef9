"""What who comes to look is shown: the end of a program's output, and its terminal's modes.

Programs on the alternate screen draw themselves anew when their size changes; of those that do
not, the last output is kept. Emulating the terminal instead would be fifty times slower.
"""

from __future__ import annotations

import re
from collections import deque

RING_BYTES = 256 << 10
REPLAY_BYTES = 32 << 10
# what is replayed begins with a line, unless that is longer than so
_LONG_LINE = 4 << 10
# a longer sequence is none that is followed here
_MAX_TAIL = 48

# DECSET and DECRST, DECKPAM and DECKPNM, DECSTR, RIS
_MODE = re.compile(rb"\x1b(?:\[\?([0-9;]{1,40})([hl])|([=>])|\[!p|c)")
_STARTS = (b"\x1b[?", b"\x1bc", b"\x1b=", b"\x1b>", b"\x1b[!")
_TAIL = re.compile(rb"\x1b(?:\[(?:\?[0-9;]{0,40}|!)?)?\Z")
# DA1 to DA3, XTVERSION, DSR, DECRQM; colours and DCS: what makes a terminal answer
_QUERY = re.compile(
    rb"\x1b\[(?:[>=]?[0-9]*[cq]|\??[0-9;]*n|\??[0-9;]*\$p|[0-9;]*[xt])"
    rb"|\x1b[\]P][^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)?|\x1bZ|\x05"
)
_TRACKED = frozenset((1, 7, 9, 25, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004))
_ALTERNATE = frozenset((47, 1047, 1049))
_SOFT_RESET = (1, 6, 7, 25)


class Screen:
    """Follows the output. alternate: whether that screen is shown. on: modes set or reset."""

    __slots__ = ("_ring", "_ring_bytes", "_tail", "alternate", "keypad", "on")

    def __init__(self) -> None:
        self.on: dict[int, bool] = {}
        self.alternate = False
        self.keypad = False
        self._ring: deque[bytes] = deque()
        self._ring_bytes = 0
        self._tail = b""  # the beginning of a sequence

    def feed(self, data: bytes) -> None:
        """What the program wrote, cut anywhere."""
        if self._tail:
            data, self._tail = self._tail + data, b""
        last = data.rfind(b"\x1b", -_MAX_TAIL)
        if last >= 0 and _TAIL.match(data, last):
            data, self._tail = data[:last], data[last:]
        # colours and movements, most of what is dense with sequences, need no look
        if b"\x1b" not in data or not any(start in data for start in _STARTS):
            self._keep(data)
            return
        at = 0
        for found in _MODE.finditer(data):
            before = self.alternate
            self._switch(found)
            if before != self.alternate:
                if not before:
                    self._add(data[at : found.start()])
                at = found.end()
            elif found[0] == b"\x1bc":
                at = found.end()
        self._keep(data[at:])

    def _switch(self, found: re.Match[bytes]) -> None:
        if found[3]:
            self.keypad = found[3] == b"="
        elif found[1] is None:  # DECSTR, RIS
            self.keypad = False
            if found[0] == b"\x1bc":
                self.alternate = False
                self.on.clear()
                self._ring.clear()
                self._ring_bytes = 0
            for number in _SOFT_RESET:
                self.on.pop(number, None)
        else:
            for number in (int(text) for text in found[1].split(b";") if text):
                if number in _TRACKED:
                    self.on[number] = found[2] == b"h"
                elif number in _ALTERNATE:
                    self.alternate = found[2] == b"h"

    def _keep(self, data: bytes) -> None:
        """What is on the normal screen, if that is shown."""
        if data and not self.alternate:
            self._add(data)

    def _add(self, data: bytes) -> None:
        self._ring.append(data)
        self._ring_bytes += len(data)
        while self._ring_bytes > RING_BYTES and len(self._ring) > 1:
            self._ring_bytes -= len(self._ring.popleft())

    def kept(self) -> bytes:
        """The end of what was written on the normal screen, as it is."""
        return b"".join(self._ring)

    def replay(self) -> bytes:
        """What brings a fresh terminal here, and asks it nothing."""
        data = self.kept()
        if len(data) > REPLAY_BYTES:
            data = data[-REPLAY_BYTES:]
            data = data[data.find(b"\n", 0, _LONG_LINE) + 1 :]
        data = _QUERY.sub(b"", data)
        if self.alternate:
            data += b"\x1b[?1049h\x1b[H\x1b[2J"
        return data + self.modes() + self._tail

    def modes(self) -> bytes:
        """Sequences that bring a fresh terminal into the modes that the program has set."""
        out = [b"\x1b[?%d%c" % (n, b"h"[0] if on else b"l"[0]) for n, on in self.on.items()]
        if self.keypad:
            out.append(b"\x1b=")
        return b"".join(out)
