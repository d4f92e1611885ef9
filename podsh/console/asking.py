"""A request as a person meets it: what it wants, the rule that a yes would add, how long it waits.

A row is what the portal's ``requests`` gives. Pure.
"""

from __future__ import annotations

import os

from podsh.console.events import raw_path, shown_path
from podsh.console.render import clock, show, show_argv, show_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Row = Mapping[str, Any]

WAITING = "waiting"
_NOTED_CHARS = 6


def wants(row: Row) -> tuple[str, str]:
    """(mode, path) of the object: what ``--if`` compares, and what a plain yes gives."""
    return str(row.get("op", "?")), raw_path(row)


def brief(row: Row) -> str:
    """One line for lists: ``write ~/.gitconfig, git in web``."""
    mode, _ = wants(row)
    path = shown_path(row, os.path.expanduser("~"), 40)
    return f"{show_text(mode)} {path}, {program(row)} in {show(str(row.get('pod', '?')), 24)}"


def program(row: Row) -> str:
    """The name of the program that asks."""
    argv = row.get("argv")
    first = str(argv[0]) if isinstance(argv, list) and argv else "?"
    return show(first.rpartition("/")[2] or first, 24)


def asker(row: Row) -> str:
    """``git fetch origin  (pid 431, parent make 412)``, nothing left out."""
    argv = row.get("argv")
    words = [str(word) for word in argv] if isinstance(argv, list) and argv else ["?"]
    parent = row.get("parent")
    text = f"pid {show_text(str(row.get('pid', '?')))}"
    if isinstance(parent, list) and len(parent) == 2 and parent[0]:
        text += f", parent {show(str(parent[1]))} {show_text(str(parent[0]))}"
    return f"{show_argv(words)}  ({text})"


def rule(mode: str, path: str) -> str:
    """A rule in words: ``write /home/u/.gitconfig``; all of it."""
    return f"{show_text(mode)} {show(path)}"


def parse_condition(text: str, home: str) -> tuple[str, str]:
    """(mode, path) of ``--if 'OP PATH'``; ``~/`` is the home."""
    mode, _, path = text.strip().partition(" ")
    path = path.strip()
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return mode, path.rstrip("/") or path


def waited_s(row: Row, now: float) -> float:
    """Seconds since it asked."""
    since = row.get("ts")
    return max(now - since, 0.0) if isinstance(since, (int, float)) else 0.0


def longest(rows: Sequence[Row], now: float) -> str:
    """``web 0:12``: the pod whose request waits longest, and since when; empty for none."""
    if not rows:
        return ""
    row = max(rows, key=lambda each: waited_s(each, now))
    return f"{show(str(row.get('pod', '?')), 24)} {clock(waited_s(row, now))}"


def foreign_letters(text: str) -> str:
    """The letters of a path that are not ASCII, named so that look-alikes are told apart."""
    found = list(dict.fromkeys(char for char in text if not char.isascii()))
    if not found:
        return ""
    shown = []
    for char in found[:_NOTED_CHARS]:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            shown.append(f"byte {code & 0xFF:02x}")
        else:
            letter = show_text(char)
            shown.append(f"{letter} U+{code:04X}" if letter == char else f"U+{code:04X}")
    more = f" and {len(found) - _NOTED_CHARS} more" if len(found) > _NOTED_CHARS else ""
    return f"non-ASCII: {', '.join(shown)}{more}"


def may_widen(directory: str, path: str, home: str) -> str:
    """Why ``directory`` may not stand for ``path`` in a rule; empty where it may."""
    if not directory.startswith("/") or os.path.normpath(directory) != directory:
        return "not an absolute path"
    if directory != path and not path.startswith(directory.rstrip("/") + "/"):
        return "not a directory above what is asked for"
    if directory == "/" or home == directory or home.startswith(directory + "/"):
        return "too wide: your home would be in it" if directory != "/" else "too wide"
    return ""


def ended(row: Row) -> str:
    """What became of it, in words: ``was allowed``, ``is gone``."""
    state = str(row.get("state", "?"))
    return {"gone": "is gone: its program ended or went on"}.get(state, f"was {show_text(state)}")
