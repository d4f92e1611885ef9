"""A terminal's screen from the bytes that were written to it, by pyte. Not for live output: it is
fifty times slower than that.

pyte is given only what it knows: an unknown sequence's end would be drawn as text.
"""

from __future__ import annotations

import re
import unicodedata

import pyte

from podsh.console.filter import ALTERNATE, Filter
from podsh.console.render import show_output

# the largest screen that is drawn
_MOST_ROWS, _MOST_COLS = 500, 1000
# of the marks that are drawn onto the character before; more are no script's
_MOST_MARKS = 4
# the filter has seen to it that each is whole
_SEQUENCE = re.compile(r"(\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]))")
_CONTROL = re.compile(r"\x1b\[(\??)([0-9;]*)([@A-Za-z`])")
_KNOWN = re.compile(r"\x1b(?:[78DEHM]|#8|[()][AB0U])")
_SCROLLS = {"S": True, "T": False}


class _Drawn:
    """One of a terminal's two screens."""

    def __init__(self, rows: int, cols: int) -> None:
        self.screen = pyte.Screen(cols, rows)
        self._begin()
        self._last = " "

    def _begin(self) -> None:
        self._stream = pyte.Stream(self.screen)
        self._stream.use_utf8 = False  # so that there are line-drawing characters

    def text(self, text: str) -> None:
        text = _plain(text)
        if text:
            self._stream.feed(text)
            self._last = text[-1]

    def sequence(self, sequence: str) -> None:
        control = _CONTROL.fullmatch(sequence)
        try:
            if control is None:
                if _KNOWN.fullmatch(sequence):
                    self._stream.feed(sequence)
            elif control[3] in _SCROLLS and not control[1]:
                self._scroll(int(control[2] or 1), up=_SCROLLS[control[3]])
            elif control[3] == "b":  # REP
                self.text(self._last * min(int(control[2] or 1), self.screen.columns))
            elif control[3] not in "mnctqu":  # no colours; no answers
                self._stream.feed(sequence)
        except (TypeError, ValueError, StopIteration):
            self._begin()  # it takes fewer numbers: a terminal does not mind, pyte is at its end

    def _scroll(self, count: int, up: bool) -> None:
        screen = self.screen
        top, bottom = screen.margins or (0, screen.lines - 1)
        before, screen.cursor.y = screen.cursor.y, bottom if up else top
        for _ in range(min(count, screen.lines)):
            screen.index() if up else screen.reverse_index()
        screen.cursor.y = before


def last_screen(data: bytes, rows: int, cols: int) -> list[str]:
    """The rows of the screen as shown text, without blank ones at the end; ``data`` may begin
    anywhere. What a program drew on the alternate screen is gone once it has left that."""
    rows, cols = min(max(rows, 2), _MOST_ROWS), min(max(cols, 2), _MOST_COLS)
    text = Filter(queries=False).feed(data).decode("utf-8", "replace")
    drawn = normal = _Drawn(rows, cols)
    for number, part in enumerate(_SEQUENCE.split(text)):
        if not number % 2:
            drawn.text(part)
        elif part == "\x1bc":
            drawn = normal = _Drawn(rows, cols)
        elif (switched := _switched(part)) is None:
            drawn.sequence(part)
        else:
            drawn = _Drawn(rows, cols) if switched else normal
    lines = [show_output(line.rstrip()) for line in drawn.screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _switched(sequence: str) -> bool | None:
    """Whether a sequence shows the alternate screen, or leaves it; None: neither."""
    found = _CONTROL.fullmatch(sequence)
    if found is None or not found[1] or found[3] not in "hl":
        return None
    numbers = {int(number) for number in found[2].split(";") if number}
    return None if ALTERNATE.isdisjoint(numbers) else found[3] == "h"


def _plain(text: str) -> str:
    """Without what is not drawn, at which pyte gives the rest up, and without heaps of marks, each
    of which makes its character longer."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for char in text:
        if unicodedata.combining(char):
            marks += 1
            if marks > _MOST_MARKS:
                continue
        elif unicodedata.category(char) in ("Cf", "Cc", "Mn", "Me") and ord(char) >= 0x80:
            continue
        else:
            marks = 0
        kept.append(char)
    return "".join(kept)
