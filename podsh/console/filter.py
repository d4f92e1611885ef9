"""What of a pod's output reaches a terminal: text, and the sequences listed here. Pure.

What a terminal does to the world around it is left out: clipboard, titles, palette, printing,
windows, locking keyboards, clearing the scrollback, keyboard protocols that would hide the
attention key, and whatever is not known. A sequence with a control character in it is none:
terminals disagree about these. The names in comments are those of ECMA-48 and xterm's ctlseqs.
"""

from __future__ import annotations

import codecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
else:
    from podsh.console import lazy as re

# DECSET and DECRST: cursor keys, reverse video, wrap, mouse, blinking and visible cursor,
# keypad, margins, mouse and focus reports, saved cursor, bracketed paste, synchronized output
MODES = frozenset(
    (
        1,
        5,
        6,
        7,
        9,
        12,
        25,
        66,
        69,
        1000,
        1002,
        1003,
        1004,
        1005,
        1006,
        1015,
        1016,
        1048,
        2004,
        2026,
    )
)
ALTERNATE = frozenset((47, 1047, 1049))
RIS = b"\x1bc"
_MODE = b"|".join(b"%d" % number for number in sorted(MODES, reverse=True))

_PASSED = (
    # SGR; then cursor, erasing, inserting, scrolling, tabs, REP, DECSTBM, DECSLRM, IRM
    rb"\[[0-9;:]{0,100}m"
    rb"|\[[0-9]{0,5}(?:;[0-9]{0,5})?[@-IK-MPSTXZ`abdefgrs]"
    rb"|\[\??[0-2]?J|\[\?[0-2]?K|\[u|\[4[hl]"
    rb"|\[\?(?:" + _MODE + rb")[hl]"
    rb"|\[!p|\[[0-6]? q"  # DECSTR, DECSCUSR
    # cursor and keypad (DECSC, DECRC, DECKPAM, DECKPNM), IND, NEL, HTS, RI, ST
    rb"|[78=>DEHM\\]"
    rb"|[()*+][AB012U]|#[3-68]"  # character sets, sizes of lines
    # hyperlinks
    rb"|\]8;[!-:<-~]{0,200};(?:(?:https?|ftp|file|mailto):[!-~]{1,1500})?(?:\x07|\x1b\\)"
)
# DA1 to DA3, XTVERSION, CPR, DECRQM, colours: the terminal answers, as if it was typed
_QUERIES = rb"|\[[>=]?0?c|\[>0?q|\[\??6n|\[\?[0-9]{1,4}\$p|\]1[0-2];\?(?:\x07|\x1b\\)"
_ODD = re.compile(rb"\x1b(?!" + _PASSED + _QUERIES + rb")")
_ODD_OR_QUERY = re.compile(rb"\x1b(?!" + _PASSED + rb")")

_MAX_CSI = 128
_CSI = re.compile(rb"\x1b\[[ -?]{0,%d}" % _MAX_CSI)
_SWITCH = re.compile(rb"\x1b\[\?([0-9;]*)([hl])")
_RUN = re.compile(rb"\x1b+")
_ESCAPE = re.compile(rb"\x1b[ -/]{1,8}")
# what may still become a hyperlink or a question about colours
_HOPEFUL = re.compile(
    rb"\x1b\](?:8(?:;[!-:<-~]{0,200}(?:;[!-~]{0,1510}\x1b?)?)?|1(?:[0-2](?:;\??\x1b?)?)?)?"
)
_PALETTE = re.compile(rb"\x1b\](?:R|P[0-9A-Fa-f]{0,7})")  # of Linux' console, without an end
_PALETTE_BYTES = 10
_OSC_END = re.compile(rb"[\x07\x18\x1a\x1b]")
_STRING_END = re.compile(rb"[\x18\x1a\x1b]")
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_ENQ = b"\x05"  # asks for the answerback
# DSR: the terminal says that it is well, and the fence counts on it
WELL = b"\x1b[5n"


class Filter:
    """Feed it bytes cut anywhere; what it returns is valid UTF-8, its sequences whole.

    queries: questions to the terminal pass. asked: how many times it was asked whether it is well.
    """

    __slots__ = ("_carry", "_odd", "_partial", "_string", "_utf8", "asked", "queries")

    def __init__(self, *, queries: bool = True) -> None:
        self.queries = queries
        self.asked = 0
        self._odd = _ODD if queries else _ODD_OR_QUERY
        self._carry = b""
        self._string: re.Pattern[bytes] | None = None  # what ends the string that is left out
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = False

    def feed(self, data: bytes) -> bytes:
        """What is to be written of ``data``, and of what was held back before."""
        if self._partial or not data.isascii():
            # first, so that nothing left out brings two halves of a character together
            data = self._utf8.decode(data).encode()
            self._partial = bool(self._utf8.getstate()[0])
            data = _C1.sub(b"", data)
        if _ENQ in data:
            data = data.replace(_ENQ, b"")
        if self._carry:
            data, self._carry = self._carry + data, b""
        at = 0
        if self._string is not None:
            at = self._skip(data, 0)
        elif b"\x1b" not in data:
            return data
        out: list[bytes] = []
        while found := self._odd.search(data, at):
            start = found.start()
            out.append(data[at:start])
            at = self._one(data, start, out)
            if at < 0:
                self._carry = data[start:]
                return b"".join(out)
        return b"".join((*out, data[at:])) if at else data

    def _skip(self, data: bytes, at: int) -> int:
        """Where the string ends that is being left out; the ESC of its ST is what follows it."""
        assert self._string is not None
        end = self._string.search(data, at)
        if end is None:
            return len(data)
        self._string = None
        return end.start() if end[0] == b"\x1b" else end.end()

    def _one(self, data: bytes, start: int, out: list[bytes]) -> int:
        """Deal with the sequence at ``start``, which does not just pass; where what follows it
        begins, or -1 if it is not whole."""
        kind = data[start + 1 : start + 2]
        if not kind:
            return -1
        if kind == b"[":
            return self._control(data, start, out)
        if kind == b"\x1b":
            run = _RUN.match(data, start)
            assert run is not None
            return run.end() - 1
        if kind == b"]":
            hopeful = _HOPEFUL.match(data, start)
            if hopeful is not None and hopeful.end() == len(data):
                return -1
            palette = _PALETTE.match(data, start)
            if palette is not None:
                whole = data[start + 2] == ord("R") or palette.end() - start == _PALETTE_BYTES
                if whole or palette.end() == len(data):
                    return palette.end() if whole else -1
            self._string = _OSC_END
            return self._skip(data, start + 2)
        if kind in b"PX^_k":  # DCS, SOS, PM, APC, the title of screen
            self._string = _STRING_END
            return self._skip(data, start + 2)
        if kind == b"c":
            out.append(RIS)
            return start + 2
        if between := _ESCAPE.match(data, start):
            end = between.end()
            if end == len(data):
                return -1
            return end + 1 if 0x30 <= data[end] < 0x7F else end
        return start + 2 if 0x30 <= kind[0] < 0x7F else start + 1

    def _control(self, data: bytes, start: int, out: list[bytes]) -> int:
        """A CSI."""
        found = _CSI.match(data, start)
        assert found is not None
        end = found.end()
        if end == len(data) and end - start < _MAX_CSI + 2:
            return -1
        if end == len(data) or not 0x40 <= data[end] < 0x7F:
            return end  # the rest is text
        end += 1
        if data[start:end] == WELL and self.queries:
            self.asked += 1
            out.append(WELL)
        elif switch := _SWITCH.fullmatch(data, start, end):
            numbers = [int(number) for number in switch[1].split(b";") if 0 < len(number) < 6]
            kept = [number for number in numbers if number in MODES or number in ALTERNATE]
            if kept:
                out.append(b"\x1b[?%s%s" % (b";".join(b"%d" % n for n in kept), switch[2]))
        return end
