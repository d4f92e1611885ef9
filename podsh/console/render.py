"""Strings for a person's eyes. Pure: nothing here prints, and nothing from a pod gets through raw.

Printable ASCII and non-ASCII letters and digits are shown; everything else (control, escape,
bidirectional and format characters, blank fillers, undecodable bytes) is written out visibly.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# letters to Unicode, but drawn as nothing: Hangul fillers, braille blank, Khmer inherent vowels,
# blank hieroglyphs
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\U00013441\U00013442")
_RIGHT_TO_LEFT = frozenset(("R", "AL", "AN"))
# signs that podsh's own messages use
_OWN_SIGNS = frozenset("…×∩→±≤≥–°")
_MOST_DOMAINS = 6
# before what does not fit into a line: nothing from outside begins one
INDENT = "    "
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


def is_plain(char: str) -> bool:
    """Whether a character is shown as it is."""
    if char.isascii():
        return " " <= char <= "~"
    if not char.isalnum() or char in _BLANK:
        return False
    import unicodedata

    return unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT


def _escape(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code & 0xFF:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def show(value: str | bytes, width: int = 0) -> str:
    """A name, path or word from outside, on one line; quoted where it is not plain.

    width: elide the middle to about so many characters (the end, the name, keeps more); 0: all.
    """
    text = os.fsdecode(value)
    if text.isascii() and text.isprintable() and not width:  # the common case
        if text and not any(c in text for c in ' "\\'):
            return text
    parts = ["\\" + c if c in '\\"' else c if is_plain(c) else _escape(c) for c in text]
    quoted = "".join(parts) != text or " " in text or not text
    if width and len(parts) > width:
        keep = width * 3 // 5
        head, tail = parts[: max(width - keep - 8, 1)], parts[-keep:]
        parts = [*head, f"<{len(parts) - len(head) - len(tail)} more>", *tail]
    shown = "".join(parts)
    return f'"{shown}"' if quoted else shown


def show_domain(name: str, width: int = 0) -> str:
    """``A∩B``: the names of profiles (each elided to ``width``), and what joins them."""
    parts = name.split("∩")
    if width and len(parts) > _MOST_DOMAINS:
        parts = [*parts[:_MOST_DOMAINS], "…"]
    return "∩".join(part if part == "…" or _more(part) else show(part, width) for part in parts)


def _more(part: str) -> bool:
    """``3 more``: the end of a long name of an intersection."""
    number, _, word = part.partition(" ")
    return word == "more" and number.isascii() and number.isdigit()


def show_text(text: str) -> str:
    """A sentence that may quote strings from outside: made safe, not quoted; one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in _OWN_SIGNS or is_plain(c) else _escape(c) for c in text)


def show_output(text: str) -> str:
    """A line that a program wrote, quoted as such: its symbols and drawing are shown, too."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if is_plain(c) or _symbol(c) else _escape(c) for c in text)


def _symbol(char: str) -> bool:
    import unicodedata

    category = unicodedata.category(char)
    if char in _BLANK or category[0] not in "SP":
        return False
    return unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT


def show_lines(text: str) -> str:
    """Several sentences, their line ends kept; those after the first are indented, since what they
    quote may have had line ends of its own."""
    return f"\n{INDENT}".join(show_text(line) for line in text.rstrip("\n").split("\n"))


def show_argv(argv: Iterable[str], width: int = 0) -> str:
    """A command line in one line, elided at its end to ``width``."""
    shown = " ".join(show(word, 60 if width else 0) for word in argv)
    return shown if not width or len(shown) <= width else shown[: max(width - 1, 1)] + "…"


def age(seconds: float) -> str:
    """A span of time: ``7s``, ``12m``, ``3h05``, ``9d``."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 48 * 3600:
        return f"{whole // 3600}h{whole // 60 % 60:02d}"
    return f"{whole // 86400}d"


def size(size_bytes: int) -> str:
    """``0``, ``12K``, ``3.4M``: powers of 1024."""
    value = float(size_bytes)
    for unit in ("", "K", "M", "G"):
        if value < 1024:
            return f"{value:.1f}{unit}" if unit and value < 10 else f"{value:.0f}{unit}"
        value /= 1024
    return f"{value:.1f}T"


def cells(text: str) -> int:
    """Columns that shown text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Shown text in lines of at most ``width`` columns, broken anywhere; nothing is left out.

    indent: before every line but the first, so that no text can pose as a line of its own.
    """
    lines, line, used = [], "", 0
    for char in text:
        wide = cells(char)
        if used + wide > width and line:
            lines.append(line)
            line, used = indent, len(indent)
        line += char
        used += wide
    return [*lines, line]


def clock(seconds: float) -> str:
    """A span that is watched: ``0:12``, ``3:05``, ``2:00:00``."""
    whole = max(int(seconds), 0)
    text = f"{whole // 60 % 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{text:0>5}" if whole >= 3600 else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns; the cells must be shown text already."""
    widths = [max(cells(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        padded = [
            text + " " * (width - cells(text)) for text, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def signal_name(number: int) -> str:
    """``TERM`` for 15; the number itself where it has no name."""
    import signal

    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


# ---------------------------------------------------------------- output quoted as text

MAX_LINE = 500
# a regular expression: what a terminal obeys and does not draw
ESCAPES = (
    rb"\x1b[\]PX^_k][^\x07\x18\x1a\x1b]*(?:\x07|\x18|\x1a|\x1b\\|\Z)"  # strings: OSC, DCS…
    rb"|\x1b\[[0-?]*[ -/]*[@-~]?"  # control sequences
    rb"|\x1b[ -/]*[0-~]?"  # other escapes
    rb"|[\x00\x07\x0e\x0f]"
)


def plain_lines(data: bytes, width: int = MAX_LINE) -> list[str]:
    """A program's output as lines of text: escape sequences gone, the rest made visible.

    What was overwritten by carriage returns is left out. A line is cut after ``width``.
    """
    import re

    data = re.sub(ESCAPES, b"", data)
    lines = []
    for raw in data.decode("utf-8", "surrogateescape").split("\n"):
        line = raw.rstrip("\r").rpartition("\r")[2]
        if "\b" in line:
            line = _struck(line)
        line = line.expandtabs()
        lines.append(show_output(line[:width]) + ("…" if len(line) > width else ""))
    if lines and not lines[-1]:
        lines.pop()
    return lines


def _struck(line: str) -> str:
    """Without what was backspaced over, as man does for bold."""
    kept: list[str] = []
    for char in line:
        if char != "\b":
            kept.append(char)
        elif kept:
            kept.pop()
    return "".join(kept)
