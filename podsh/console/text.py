"""A program's output as lines of text, a stream of any length. Pure."""

from __future__ import annotations

from podsh.console.filter import ALTERNATE, Filter
from podsh.console.render import plain_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
else:
    from podsh.console import lazy as re

# a longer line is given in pieces
LONGEST = 64 << 10
_SWITCH = re.compile(rb"\x1b\[\?([0-9;]*)([hl])")


class Text:
    """Bytes in, whole lines out, escape sequences gone; what is drawn on the alternate screen is
    no text and left out."""

    __slots__ = ("_alternate", "_filter", "_rest")

    def __init__(self) -> None:
        self._filter = Filter(queries=False)
        self._alternate = False
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that this ends."""
        self._rest += self._normal(self._filter.feed(data))
        whole, newline, rest = self._rest.rpartition(b"\n")
        lines = plain_lines(whole + newline, LONGEST) if newline else []
        while len(rest) > LONGEST:
            lines += plain_lines(rest[:LONGEST], LONGEST)
            rest = rest[LONGEST:]
        self._rest = rest
        return lines

    def end(self) -> list[str]:
        """The line that was begun, if one was."""
        rest, self._rest = self._rest, b""
        return plain_lines(rest, LONGEST)

    def _normal(self, data: bytes) -> bytes:
        if b"\x1b[?" not in data:
            return b"" if self._alternate else data
        kept: list[bytes] = []
        at = 0
        for found in _SWITCH.finditer(data):
            if ALTERNATE.isdisjoint(int(number) for number in found[1].split(b";") if number):
                continue
            if not self._alternate:
                kept.append(data[at : found.start()])
            self._alternate = found[2] == b"h"
            at = found.end()
        if not self._alternate:
            kept.append(data[at:])
        return b"".join(kept)
