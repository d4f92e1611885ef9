"""Lists of system calls as text: the blacklist that is read, and the whitelist that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podsh.errors import UsageError
from podsh.profiles import values as v
from podsh.profiles.words import Bad

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEYWORDS = ("seccomp_block", "seccomp_allow", "seccomp")


def blacklist(text: str, file: str) -> tuple[str, ...]:
    """A call a line; ``#`` comments; ``seccomp_block`` before it is fine. Raises UsageError."""
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words and words[0] == _KEYWORDS[0]:
            del words[0]
        if not words:
            continue
        try:
            if words[0] in _KEYWORDS or len(words) > 1:
                raise Bad(f"{' '.join(words)!a} is not the name of a call", "write one a line")
            found[v.call(words[0])] = None
        except Bad as bad:
            raise UsageError(bad.cause, place=f"{file}:{number}", hint=bad.hint) from None
    return tuple(found)


def without_calls(text: str) -> list[str]:
    """The lines of a ``.pod`` file but its whitelist."""
    lines = text.splitlines()
    return [line for line in lines if line.split()[:1] not in (["seccomp"], ["seccomp_allow"])]


def template(
    argv: Iterable[str], lines: Iterable[str], counts: Mapping[str, int], arch: str
) -> str:
    """A ``.pod`` file of ``lines`` that allows the calls of ``counts``, most frequent first."""
    command = " ".join(argv).encode("unicode_escape").decode("ascii")[:200]
    return "\n".join(
        [
            f"# traced: {command}",
            *lines,
            "",
            f"# the calls that it made, as {arch} names them, most frequent first",
            *(f"seccomp_allow {name}" for name, _ in ranked(counts)),
            "",
        ]
    )


def ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """(call, how often), the most frequent first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
