"""Of ``re`` what the console's modules need at import: patterns compiled when they are first used.

``re`` and a module's patterns cost up to 5 ms, and most commands show no program's screen.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOTALL = 16  # re.DOTALL


class Pattern:
    """As ``re.Pattern``; its methods are there from their first use on."""

    def __init__(self, pattern: bytes, flags: int = 0) -> None:
        self._made_of = pattern, flags

    def __getattr__(self, name: str) -> Any:
        import re

        found = getattr(re.compile(*self._made_of), name)
        setattr(self, name, found)
        return found


compile = Pattern
