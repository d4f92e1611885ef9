"""Words for messages: strings of a file made safe to print, near misses, and where a fault lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 120


class Bad(Exception):
    """A value that cannot be: ``cause`` reads on after the key, ``hint`` is the mend.

    Raised where the place is not known; whoever knows it makes a UsageError of it.
    """

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


def quoted(text: str) -> str:
    """A string of a file in quotes, shortened, with everything unprintable escaped."""
    if len(text) > SHOWN:
        text = f"{text[: SHOWN // 3]}…{text[-SHOWN * 2 // 3 :]}"  # a path's end tells more
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text
    )
    return f'"{safe}"'


def near(word: str, known: Iterable[str]) -> str:
    """``did you mean "x"?``, or nothing."""
    import difflib

    # comparing is quadratic in the length, and a hostile key may be of any
    found = difflib.get_close_matches(word[:64], [*known], 1, 0.6)
    return f'did you mean "{found[0]}"?' if found else ""
