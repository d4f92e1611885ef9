"""A program's output as plain text, as it comes in pieces: for ``wait POD text:RE``. Pure."""

from __future__ import annotations

import re

from podsh.console.render import ESCAPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# a sequence that the next piece may go on with
_OPEN = re.compile(rb"\x1b(?:[\]PX^_k][^\x07\x18\x1a\x1b]*\x1b?|\[[0-?]*[ -/]*|[ -/]*)\Z")
_ESCAPES = re.compile(ESCAPES)
_RETURN = re.compile(rb"\r+\n?")
# of a string sequence that does not end, so much is waited for
_MAX_OPEN = 64 << 10
# a match is no longer than this (characters)
KEPT = 64 << 10


class Plain:
    """Bytes to text: escape sequences and bells gone, all line ends ``\\n``."""

    __slots__ = ("_decode", "_open", "_return")

    def __init__(self) -> None:
        import codecs

        self._open = b""
        self._return = b""
        self._decode: Callable[..., str] = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, data: bytes, end: bool = False) -> str:
        """The text of the next piece; ``end``: it was the last."""
        data = self._open + data
        self._open = b""
        last = data.rfind(b"\x1b")
        # the ESC of a string's end has one before it
        for at in (data.rfind(b"\x1b", 0, max(last, 0)), last) if not end and last >= 0 else ():
            if at >= 0 and _OPEN.match(data, at):
                self._open, data = data[at:], data[:at]
                if len(self._open) > _MAX_OPEN:
                    self._open = self._open[:2]
                break
        data = self._return + _ESCAPES.sub(b"", data)
        self._return = b""
        if not end and data.endswith(b"\r"):  # a newline may follow
            data, self._return = data.rstrip(b"\r"), b"\r"
        data = _RETURN.sub(b"\n", data)
        return self._decode(data, end)


class Output:
    """The output of one pod, searched piece by piece. ``place``: how many bytes were fed."""

    __slots__ = ("_at", "_plain", "_text", "place", "started")

    def __init__(self, started: float = 0.0) -> None:
        self.started = started  # of the pod: another of that name has another output
        self.place = 0
        self._plain = Plain()
        self._text = ""
        self._at = 0  # where the last match ended

    def feed(self, data: bytes) -> None:
        """The next piece."""
        self.place += len(data)
        self._text += self._plain.feed(data)

    def skip_to(self, place: int) -> None:
        """What is between is lost."""
        if place != self.place:
            self.__init__(self.started)  # type: ignore[misc]  # nothing goes on over a gap
            self.place = place

    def end(self) -> None:
        """Nothing more comes."""
        self._text += self._plain.feed(b"", True)

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The next match, after the last one; text before it is given up."""
        found = pattern.search(self._text, self._at)
        if found is not None:
            self._at = found.end()
        at = max(self._at, len(self._text) - KEPT) if found is None else self._at
        # a line's beginning is known by what is before it
        begin = max(at - 1, 0)
        self._text, self._at = self._text[begin:], at - begin
        return found
