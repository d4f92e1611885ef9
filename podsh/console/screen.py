"""What a pod's output may do to this terminal, and how its state is put right. Pure.

The bytes are those of ECMA-48 and xterm's ctlseqs; names in comments are theirs.
"""

from __future__ import annotations

from podsh.console.filter import ALTERNATE, RIS, Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
else:
    from podsh.console import lazy as re

# Everything a program may have left behind, undone. CAN and ST first: an unterminated string
# would swallow the rest. Leaving the alternate screen is not part of it (``?1049l`` without
# having entered it wipes lines).
RESET = (
    b"\x18\x1b\\\x1b<"  # and out of VT52 mode
    b"\x1b[!p"  # DECSTR: soft reset
    b"\x1b]8;;\x1b\\"  # no hyperlink
    b"\x1b[0m\x1b(B\x1b)B\x1b*B\x1b+B\x0f"  # attributes, character sets
    # margins, which move the cursor home; that would end origin mode too late (DECRC restores it),
    # which DECSTR has ended already
    b"\x1b7\x1b[?69l\x1b[r\x1b8"
    b"\x1b[?7h\x1b[4l\x1b[20l\x1b[2l"  # wrap, insert, LNM, KAM
    b"\x1b[?1l\x1b>"  # cursor keys, keypad
    b"\x1b[?5l\x1b[?25h"  # reverse video off, cursor on
    b"\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l"  # mouse, focus
    b"\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"
    b"\x1b[?2004l\x1b[?2026l"  # bracketed paste, synchronized output
    b"\x1b[>4m\x1b[<99u"  # modifyOtherKeys, kitty's keyboard flags
    b"\x1b[4i\x1b[?4i"  # printing (media copy)
    b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"  # palette and colours
    b"\x1b[0 q"  # cursor shape
)
ENTER_ALTERNATE = b"\x1b[?1049h\x1b[H\x1b[2J"
LEAVE_ALTERNATE = b"\x1b[?6l\x1b[?1049l"  # tmux' origin mode is one of both screens
CLEAR = b"\x1b[0m\x1b[r\x1b[H\x1b[2J"
SAVE_TITLE = b"\x1b[22;0t"
RESTORE_TITLE = b"\x1b[23;0t"
RING_BYTES = 32 << 10

# C0 controls are executed inside a sequence and do not end it (all but CAN, SUB, ESC)
_C0 = rb"[\x00-\x17\x19\x1c-\x1f\x7f]*"
_SWITCH = re.compile(
    rb"\x1b"
    + _C0
    + rb"(?:c|\["  # RIS, or CSI
    + _C0
    + rb"\?([0-9;:\x00-\x17\x19\x1c-\x1f\x7f]*)([hlrs]))"  # DECSET, DECRST, XTRESTORE, XTSAVE
    rb"|\xc2\x9b"  # CSI as one character
)
_CONTROLS = re.compile(rb"[\x00-\x17\x19\x1c-\x1f\x7f]+")
_ALTERNATE = frozenset(b"%d" % number for number in ALTERNATE)
_TAIL = re.compile(rb"(?:\x1b" + _C0 + rb"(?:\[[?0-9;:\x00-\x17\x19\x1c-\x1f\x7f]*)?|\xc2)\Z")
_MAX_TAIL = 64


def title(text: str) -> bytes:
    """Set the window's title; ``text`` must be shown text."""
    return b"\x1b]2;" + text.encode("utf-8", "replace") + b"\x1b\\"


class Guest:
    """A pod's output on podsh's alternate screen: its own screen switches become a clear.

    A ring of what it wrote on its normal screen is kept, to bring that back when it leaves its
    alternate one. ``feed`` returns what to write. filter: what else is kept from the terminal.
    """

    __slots__ = ("_carry", "alternate", "filter", "ring")

    def __init__(self, filter: Filter | None = None) -> None:
        self.filter = filter
        self.alternate = False
        self.ring = bytearray()
        self._carry = b""

    def feed(self, data: bytes) -> bytes:
        if self.filter is not None:
            data = self.filter.feed(data)
            if b"\x1b" not in data or (b"\x1b[?" not in data and RIS not in data):
                self._record(data)
                return data
        if self._carry:
            data = self._carry + data
            self._carry = b""
        if b"\x1b" not in data and b"\xc2" not in data:
            self._record(data)
            return data
        tail = _TAIL.search(data, max(len(data) - _MAX_TAIL, 0))
        if tail:
            self._carry = data[tail.start() :]
            data = data[: tail.start()]
        out: list[bytes] = []
        at = replay = 0
        for found in _SWITCH.finditer(data):
            numbers = _numbers(found)
            if found[2] and not numbers & _ALTERNATE:
                continue
            before = data[at : found.start()]
            self._record(before)
            if replay:  # cleared away again: a pod that flips screens must not flood
                out[replay] = b""
            out += (before, *self._instead(found, numbers))
            replay = len(out) - 1
            at = found.end()
        rest = data[at:]
        self._record(rest)
        out.append(rest)
        return b"".join(out)

    def _instead(self, found: re.Match[bytes], numbers: set[bytes]) -> tuple[bytes, bytes]:
        """(what is written for RIS, a C1 CSI or a switch of screens, what is shown again)."""
        final = found[2]
        if final is None:
            if found[0] == b"\xc2\x9b":
                return b"", b""
            self.alternate = False
            self.ring.clear()
            return RESET + CLEAR, b""
        if final in b"rs":
            return b"", b""
        others = numbers - _ALTERNATE
        out = b"\x1b[?" + b";".join(sorted(others)) + final if others else b""
        self.alternate = final == b"h"
        return out + CLEAR, self.again()

    def _record(self, data: bytes) -> None:
        if self.alternate:
            return
        self.ring += data[-RING_BYTES:]
        if len(self.ring) > 2 * RING_BYTES:
            del self.ring[:-RING_BYTES]

    def again(self) -> bytes:
        """What shows the program's screen once more, as far as it is known."""
        return b"" if self.alternate else bytes(self.ring[-RING_BYTES:])


class Plain:
    """A program's output on the person's own screen: screens are switched, its traces noted.

    dirty: it did more than print and colour, so that a reset is due at its end. filter: what is
    kept from the terminal; without it all is passed on as it is.
    """

    __slots__ = ("_carry", "alternate", "dirty", "filter")

    def __init__(self, filter: Filter | None = None) -> None:
        self.filter = filter
        self.alternate = False
        self.dirty = False
        self._carry = b""

    def feed(self, data: bytes) -> bytes:
        if self.filter is not None:
            data = self.filter.feed(data)
            if b"\x1b" not in data and b"\x0e" not in data:
                return data
            self.dirty = self.dirty or _DIRTY.search(data) is not None
            if b"\x1b[?" in data or RIS in data:  # its sequences are whole
                return _SWITCH.sub(self._switch, data)
            return data
        if not self._carry:
            if b"\x1b" not in data and b"\x0e" not in data and b"\xc2" not in data:
                return data  # the common case, a hundred times faster than the expression
            if not _DIRTY.search(data):
                return data
        self.dirty = True
        # a sequence that is seen twice by this is only noted twice
        seen = self._carry + data
        self._carry = seen[-_MAX_TAIL:]
        for found in _SWITCH.finditer(seen):
            if found[2] and found[2] in b"hl" and _numbers(found) & _ALTERNATE:
                self.alternate = found[2] == b"h"
            elif found[0].endswith(b"c"):
                self.alternate = False
        return data

    def _switch(self, found: re.Match[bytes]) -> bytes:
        """RIS clears the scrollback too, and so does leaving a screen that was never entered."""
        if found[2] is None:
            self.alternate = False
            return RESET + CLEAR
        if _numbers(found) & _ALTERNATE:
            if found[2] == b"l" and not self.alternate:
                return b""
            self.alternate = found[2] == b"h"
        return found[0]


class Boundary:
    """Whether the output stands between characters and sequences, so that something of ours can be
    written there without cutting one of the program's. ``open``: it does not."""

    __slots__ = ("_carry", "open")

    def __init__(self) -> None:
        self.open = False
        self._carry = b""

    def feed(self, data: bytes) -> None:
        at = data.rfind(b"\x1b")
        if at >= 0:  # whatever was open before: ESC begins anew
            rest = data[at:]
        elif self._carry:
            rest = self._carry + data
        else:
            self.open = _cut_short(data)
            return
        self.open = _OPEN.fullmatch(rest) is not None
        # of a long string it is enough to know that it has begun
        self._carry = rest if len(rest) <= _MAX_TAIL else rest[:2]
        if not self.open:
            self._carry = b""
            self.open = _cut_short(rest)


# a sequence without its end; then the strings: OSC, DCS and their like
_OPEN = re.compile(rb"\x1b(?:[ -/]*|\[[^@-~\x18\x1a]*|[\]PX^_k][^\x07\x18\x1a\x1b]*)", re.DOTALL)


def _cut_short(data: bytes) -> bool:
    """Whether the last character of UTF-8 is not whole."""
    for count in range(1, min(len(data), 3) + 1):
        byte = data[-count]
        if byte < 0x80:
            return False
        if byte >= 0xC0:
            return count < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
    return False


# anything but text, colours (SGR) and erase-in-line (EL)
_DIRTY = re.compile(rb"\x1b(?!\[[0-9;:]*[mK])|\x0e|\xc2[\x80-\x9f]")


def _numbers(found: re.Match[bytes]) -> set[bytes]:
    parameters = _CONTROLS.sub(b"", found[1] or b"")
    return {number.lstrip(b"0") for number in parameters.split(b";")} - {b""}
