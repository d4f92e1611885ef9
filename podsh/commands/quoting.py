"""How words of more than plain letters are written: ``'…'``, and ``$'…'`` as in shells."""

from __future__ import annotations

from podsh.console.render import is_plain
from podsh.errors import UsageError

_NAMED = dict(zip("abefnrtv\\'\"?", "\a\b\x1b\f\n\r\t\v\\'\"?", strict=True))
_WRITTEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e", "\\": "\\\\", "'": "\\'"}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_FREE = "_-./~:=+,@%^"


def quoted(word: str) -> str:
    """A word as it must be typed to be read as itself; nothing in it moves a cursor. A leading
    ``~/`` stays free."""
    if word and all(c in _FREE or (c.isalnum() and is_plain(c)) for c in word):
        return word
    if all(map(is_plain, word)):
        return "'" + word.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_written, word)) + "'"


def _written(char: str) -> str:
    if char in _WRITTEN:
        return _WRITTEN[char]
    if is_plain(char):
        return char
    code = ord(char)
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:  # a byte (PEP 383)
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def dollar_quoted(line: str, at: int) -> tuple[str, int]:
    """What is between ``$'`` (which ends at ``at``) and its ``'``, and where the line goes on.

    Raises UsageError where nothing closes it, and for what is no character.
    """
    found = bytearray()
    while at < len(line):
        char = line[at]
        at += 1
        if char == "'":
            return found.decode("utf-8", "surrogateescape"), at
        if char == "\\" and at < len(line):
            char, at = _escaped(line, at)
        found += char.encode("utf-8", "surrogateescape")
    raise UsageError("no closing '")


def _escaped(line: str, at: int) -> tuple[str, int]:
    """After a backslash: the character (a byte as PEP 383 has it), and where the line goes on."""
    kind = line[at]
    if kind in _NAMED:
        return _NAMED[kind], at + 1
    octal = kind in "01234567"
    if not octal and kind not in _DIGITS:
        return "\\" + kind, at + 1
    start = at if octal else at + 1
    digits, most = ("01234567", 3) if octal else ("0123456789abcdefABCDEF", _DIGITS[kind])
    end = start
    while end < min(start + most, len(line)) and line[end] in digits:
        end += 1
    if end == start:
        return "\\" + kind, at + 1
    code = int(line[start:end], 8 if octal else 16)
    if octal or kind == "x":
        code &= 0xFF
        return chr(code if code < 0x80 else 0xDC00 + code), end
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise UsageError(f"\\{line[at:end]} is no character")
    return chr(code), end
