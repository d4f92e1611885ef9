"""Strings for a person's eyes. Pure: nothing here prints, and nothing from a pod gets through raw.

Printable ASCII and non-ASCII letters and digits are shown; everything else (control, escape,
bidirectional and format characters, blank fillers, undecodable bytes) is written out visibly.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

# letters to Unicode, but drawn as nothing: Hangul fillers, braille blank, Khmer inherent vowels
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
_RIGHT_TO_LEFT = frozenset(("R", "AL", "AN"))
# signs that podsh's own messages use
_OWN_SIGNS = frozenset("…×∩→±≤≥–°")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


def _plain(char: str) -> bool:
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
    parts = ["\\" + c if c in '\\"' else c if _plain(c) else _escape(c) for c in text]
    quoted = "".join(parts) != text or " " in text or not text
    if width and len(parts) > width:
        keep = width * 3 // 5
        head, tail = parts[: max(width - keep - 8, 1)], parts[-keep:]
        parts = [*head, f"<{len(parts) - len(head) - len(tail)} more>", *tail]
    shown = "".join(parts)
    return f'"{shown}"' if quoted else shown


def show_domain(name: str) -> str:
    """``A∩B``: the names of profiles, and what joins them."""
    return "∩".join(map(show, name.split("∩")))


def show_text(text: str) -> str:
    """A sentence that may quote strings from outside: made safe, not quoted; one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in _OWN_SIGNS or _plain(c) else _escape(c) for c in text)


def show_lines(text: str) -> str:
    """Several sentences, their line ends kept."""
    return "\n".join(show_text(line) for line in text.split("\n"))


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


def cells(text: str) -> int:
    """Columns that shown text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


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


# ---------------------------------------------------------------- events

_COLORS = {"!": "31", "-": "31", "+": "32", "?": "33"}


def event_line(event: Mapping[str, Any], *, color: bool = False) -> str:
    """``12:04:30 web   .    start make (pid 401)``; empty for what nobody wants to read."""
    import time

    sign, text = _event_words(event)
    if not text:
        return ""
    try:
        clock = time.strftime("%H:%M:%S", time.localtime(float(event.get("ts", 0))))
    except (TypeError, ValueError, OverflowError, OSError):
        clock = "--:--:--"
    ident = show_text(str(event.get("request", "")))
    name = show(str(event["pod"]), 24) if event.get("pod") else "podsh"
    line = f"{clock} {name:<5} {sign} {ident:<2} {text}"
    if color and sign in _COLORS:
        line = f"\x1b[{_COLORS[sign]}m{line}\x1b[0m"
    return line


def _event_words(event: Mapping[str, Any]) -> tuple[str, str]:
    """The sign of an event and its text; see ux.md for the signs."""
    kind = str(event.get("ev", "?"))
    if kind == "start":
        argv = [str(word) for word in event.get("argv") or ["?"]]
        return ".", f"start {show_argv(argv, 60)} (pid {show_text(str(event.get('pid', '?')))})"
    if kind == "exit":
        return ".", exit_words(event)
    if kind == "failed":
        error = event.get("error")
        fields = error if isinstance(error, dict) else {}
        words = ": ".join(show_text(str(fields[k])) for k in ("place", "cause") if fields.get(k))
        return "!", f"failed: {words}" if words else f"failed ({event.get('code', '?')})"
    if kind == "lost":
        return "!", "lost: its monitor died"
    if kind == "ready":
        return ".", ""
    if kind == "grant":
        mode = "write" if event.get("write") else "read"
        path = show(str(event.get("path", "?")), 60)
        return "+", f"{mode} {path}  {show_text(str(event.get('rule', '')))}"
    if kind == "revoke":
        return "-", f"revoked {show(str(event.get('path', '?')), 60)}"
    extra = show_text(str(event["text"])) if event.get("text") else ""
    return ".", extra if kind in ("portal", "note") else f"{show_text(kind)} {extra}".rstrip()


def exit_words(event: Mapping[str, Any]) -> str:
    """``exit 2 after 31s``, ``killed by TERM after 3m``."""
    number = event.get("signal")
    words = f"exit {show_text(str(event.get('code', '?')))}"
    if isinstance(number, int) and number > 0:
        words = f"killed by {signal_name(number)}"
    seconds = event.get("seconds")
    return words + (f" after {age(seconds)}" if isinstance(seconds, (int, float)) else "")


def signal_name(number: int) -> str:
    """``TERM`` for 15; the number itself where it has no name."""
    import signal

    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


# ---------------------------------------------------------------- output quoted as text

MAX_LINE = 500


def plain_lines(data: bytes) -> list[str]:
    """A program's output as lines of text: escape sequences gone, the rest made visible.

    What was overwritten by carriage returns is left out. An over-long line is cut.
    """
    import re

    data = re.sub(
        rb"\x1b[\]PX^_k][^\x07\x18\x1a\x1b]*(?:\x07|\x18|\x1a|\x1b\\|\Z)"  # strings: OSC, DCS…
        rb"|\x1b\[[0-?]*[ -/]*[@-~]?"  # control sequences
        rb"|\x1b[ -/]*[0-~]?"  # other escapes
        rb"|[\x00\x07\x0e\x0f]",
        b"",
        data,
    )
    while b"\b" in data:  # what was backspaced over, as man does for bold
        shorter = re.sub(rb"[^\x08\n]\x08|^\x08+|(?<=\n)\x08+", b"", data)
        if shorter == data:
            break
        data = shorter
    lines = []
    for raw in data.decode("utf-8", "surrogateescape").split("\n"):
        line = raw.rstrip("\r").rpartition("\r")[2].expandtabs()
        lines.append(show_text(line[:MAX_LINE]) + ("…" if len(line) > MAX_LINE else ""))
    if lines and not lines[-1]:
        lines.pop()
    return lines
