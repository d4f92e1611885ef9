"""Keys by their names, as a terminal sends them. Pure.

xterm's ctlseqs, "PC-Style Function Keys".
"""

from __future__ import annotations

from podsh.errors import UsageError

# the end of CSI, or of SS3 where the program has made cursor keys its own (DECCKM)
_CURSOR = {"up": b"A", "down": b"B", "right": b"C", "left": b"D", "home": b"H", "end": b"F"}
_FIRST = {"f1": b"P", "f2": b"Q", "f3": b"R", "f4": b"S"}
_TILDE = dict(insert=2, delete=3, pageup=5, pagedown=6, f5=15, f6=17, f7=18, f8=19, f9=20)
_TILDE |= dict(f10=21, f11=23, f12=24)
_PLAIN = dict(enter=b"\r", tab=b"\t", escape=b"\x1b", space=b" ", backspace=b"\x7f", btab=b"\x1b[Z")
_SHORT = {"return": "enter"} | dict(esc="escape", ins="insert", ic="insert", dc="delete")
_SHORT |= {"del": "delete"} | dict(bspace="backspace", backtab="btab", pgup="pageup")
_SHORT |= dict(ppage="pageup", pgdn="pagedown", npage="pagedown")
# bits of a modifier's number, less one
_MODIFIERS = {"s": 1, "m": 2, "a": 2, "c": 4}
_SHIFT, _META, _CONTROL = 1, 2, 4

NAMES = (
    *("Enter", "Tab", "BTab", "Escape", "Space", "Backspace", "Up", "Down", "Left", "Right"),
    *("Home", "End", "PageUp", "PageDown", "Insert", "Delete", *(f"F{n}" for n in range(1, 13))),
    *("C-c", "C-d", "C-z", "C-]", "M-x", "C-Left", "S-Up"),
)


def encoded(name: str) -> tuple[bytes, bytes]:
    """What a key sends: usually, and where the program has made cursor keys its own.

    name: a character, or as in NAMES, with C-, M- and S- before it. Raises UsageError.
    """
    held, key = 0, name
    while len(key) > 2 and key[1] == "-" and key[0].lower() in _MODIFIERS:
        held |= _MODIFIERS[key[0].lower()]
        key = key[2:]
    if len(key) == 1:
        sent = _character(key, held)
    else:
        sent = _named(_SHORT.get(key.lower(), key.lower()), held)
    if not sent:
        from podsh.commands.syntax import near

        hint = near(name, NAMES) or "as in: Enter, C-c, Up, F1, M-x"
        raise UsageError(f"no such key: {name!a}", place="send", hint=hint)
    if held or sent[:2] != b"\x1b[" or sent[2:] not in _CURSOR.values():
        return sent, sent
    return sent, b"\x1bO" + sent[2:]


def _character(char: str, held: int) -> bytes:
    sent = (char.upper() if held & _SHIFT else char).encode("utf-8", "surrogateescape")
    if held & _CONTROL:
        code = ord(char.upper())
        if char == "?":
            sent = b"\x7f"
        elif char == " ":
            sent = b"\0"
        elif 0x40 <= code < 0x60:
            sent = bytes([code & 0x1F])
        else:
            return b""
    return b"\x1b" + sent if held & _META else sent


def _named(key: str, held: int) -> bytes:
    number = b"%d" % (held + 1)
    if key == "tab" and held == _SHIFT:
        key, held = "btab", 0
    if key in _PLAIN:
        if key == "space" and held & _CONTROL:
            return b"\x1b\0" if held & _META else b"\0"
        return b"\x1b" + _PLAIN[key] if held & _META else _PLAIN[key]
    if key in _CURSOR:
        return b"\x1b[1;" + number + _CURSOR[key] if held else b"\x1b[" + _CURSOR[key]
    if key in _FIRST:
        return b"\x1b[1;" + number + _FIRST[key] if held else b"\x1bO" + _FIRST[key]
    if key in _TILDE:
        return b"\x1b[%d%s~" % (_TILDE[key], b";" + number if held else b"")
    return b""
