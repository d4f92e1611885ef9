"""Keys: the one that brings podsh back, in every encoding, and names of keys for ``send``. Pure.

Encodings are those of xterm's ctlseqs (modifyOtherKeys) and of kitty's keyboard protocol.
"""

from __future__ import annotations

import os

from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
else:
    from podsh.console import lazy as re

ATTENTION = 0x1D  # C-]
WELL = b"\x1b[0n"  # the answer to DSR (CSI 5n)
VARIABLE = "PODSH_ATTENTION"
_TAKEN = {0x08: "Backspace", 0x09: "Tab", 0x0A: "Enter", 0x0D: "Enter", 0x1B: "Escape"}
# kitty's CSI u (press and repeat, not release), and modifyOtherKeys
_KEY = re.compile(rb"\x1b\[(\d+)(?::\d*)*(?:;(\d+)(?::(\d+))?)?[;\d:]*u|\x1b\[27;(\d+);(\d+)~")
_KEY_TAIL = re.compile(rb"\x1b(?:\[[\d;:]*)?\Z")
_MAX_TAIL = 64
_CONTROL_ONLY, _LOCKS = 4, 0xC0  # modifier bits: ctrl; caps lock and num lock


class Attention:
    """Looks for the attention key in what is typed, in every encoding. code: its byte."""

    __slots__ = ("_carry", "code")

    def __init__(self, code: int = ATTENTION) -> None:
        self.code = code
        self._carry = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(the keys before it, whether it was typed); what follows it is dropped."""
        seen = self._carry + data
        at = seen.find(self.code)
        for found in _KEY.finditer(seen, 0, at if at >= 0 else len(seen)):
            key, modifiers, event, modifiers_2, key_2 = found.groups()
            held = int(modifiers or modifiers_2 or 1) - 1
            if (
                held & ~_LOCKS == _CONTROL_ONLY
                and _control(int(key or key_2)) == self.code
                and event != b"3"
            ):
                at = found.start()
                break
        if at >= 0:
            before = seen[:at][len(self._carry) :]
            self._carry = b""
            return before, True
        tail = _KEY_TAIL.search(seen, max(len(seen) - _MAX_TAIL, 0))
        self._carry = seen[tail.start() :] if tail else b""
        return data, False


class Answers:
    """Counts how many times the terminal said that it is well, in what it typed."""

    __slots__ = ("_tail", "count")

    def __init__(self) -> None:
        self.count = 0
        self._tail = b""

    def feed(self, data: bytes) -> None:
        seen = self._tail + data
        self.count += seen.count(WELL)
        self._tail = seen[1 - len(WELL) :] if not seen.endswith(WELL) else b""


def _control(key: int) -> int:
    """What the key of that character gives with Ctrl; -1: nothing."""
    return key & 0x1F if 0x40 <= key < 0x60 or 0x61 <= key <= 0x7A else -1


def attention(variables: Mapping[str, str]) -> int:
    """The attention key's byte, as $PODSH_ATTENTION says: set in the console, or in the
    environment. Raises UsageError for what is no key of its own."""
    text = variables.get(VARIABLE) or os.environ.get(VARIABLE) or "C-]"
    char = text[2:] if text[:2] in ("C-", "c-") else text[1:] if text[:1] == "^" else ""
    code = _control(ord(char)) if len(char) == 1 else -1
    if code < 0 or code in _TAKEN:
        also = f" (that is {_TAKEN[code]})" if code in _TAKEN else ""
        raise UsageError(f"{text!a} cannot be it{also}", place=VARIABLE, hint="as in: C-], C-a")
    return code


def key_name(code: int) -> str:
    """``C-]`` for 0x1d."""
    return "C-" + chr(code + (0x60 if 0 < code <= 26 else 0x40))
