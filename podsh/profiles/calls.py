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


def template(argv: Iterable[str], counts: Mapping[str, int], arch: str) -> str:
    """A ``.pod`` file that allows the calls of ``counts``, the most frequent first."""
    command = " ".join(argv).encode("unicode_escape").decode("ascii")[:200]
    lines = [
        f"# calls of: {command}",
        f"# on {arch}, the most frequent first; what every program needs to start is not here",
    ]
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"seccomp_allow {name}" for name, count in ranked if count]
    return "\n".join(lines) + "\n"
