"""Checkers: a TOML value -> the typed value of a Profile, or Bad with reason and mend. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from podsh.kernel import callnames, caps, syscalls
from podsh.profiles.schema import HomeMode, NetMode
from podsh.profiles.words import Bad, near, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    Checker = Callable[[Any], Any]

HOMES: tuple[str, ...] = get_args(HomeMode)
NETS: tuple[str, ...] = get_args(NetMode)
ABIS = ("native", "i386", "x32", "arm")

CAPABILITIES = frozenset(f"CAP_{name.upper()}" for name in caps.NAMES)
MIN_STACK = 64 << 10  # below it no program starts
MAX_NUMBER = (1 << 63) - 1

_SIZE = re.compile(r"(\d{1,19})\s*(?:([KMGT])(?:i?B)?)?\Z", re.ASCII)
_UNITS = {None: 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_CALL = re.compile(r"[a-z0-9_]{1,64}\Z")
_VARIABLE = re.compile(r"[^=\0]{1,255}\Z")
_DEVICE = re.compile(r"[^\s/:\0]{1,15}\Z")  # IFNAMSIZ is 16, with its NUL
_MAC = re.compile(r"([0-9a-f]{2}|\*\*|xx)(:([0-9a-f]{2}|\*\*|xx)){5}\Z")
ANY_BYTE = "**"
ANY_MAC = ":".join([ANY_BYTE] * 6)
_HEX_ID = re.compile(r"[0-9a-f]{32}\Z")
_TYPES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string",
          list: "an array", dict: "a table"}  # fmt: skip


def kind_of(value: object) -> str:
    """``a string``, ``an array``, …"""
    return _TYPES.get(type(value), "a date")


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Bad(f"is {kind_of(value)}", "write true or false, without quotes")
    return value


def string(value: Any) -> str:
    """Not empty, without NUL."""
    if not isinstance(value, str):
        raise Bad(f"is {kind_of(value)}, not a string", 'put it in quotes: "…"')
    if not value:
        raise Bad("is empty", "give it a value, or take the line out")
    if "\0" in value:
        raise Bad(f"{quoted(value)} contains NUL", "remove it")
    return value


def line_of_text(value: Any) -> str:
    """A string of one line, may be empty."""
    if value == "":
        return ""
    text = string(value)
    if "\n" in text or "\r" in text:
        raise Bad("has several lines", "write one line")
    return text


def name(value: Any) -> str:
    """A profile's own name: shown, and used as a domain's name."""
    text = string(value)
    if len(text) > 64 or not text.isprintable() or "/" in text or "∩" in text or text[0] in "-.":
        raise Bad(
            f"{quoted(text)} cannot be a name",
            "use at most 64 printable characters without / or ∩, the first not - or .",
        )
    return text


def choice(*allowed: str) -> Checker:
    """One of a few words."""
    listed = ", ".join(f'"{word}"' for word in allowed)

    def check(value: Any) -> str:
        text = string(value)
        if text not in allowed:
            raise Bad(f"{quoted(text)} is none of {listed}", near(text, allowed))
        return text

    return check


def strings(value: Any) -> tuple[str, ...]:
    """An array of strings, each not empty."""
    if isinstance(value, str):
        raise Bad("is a string, not an array", f"write it in brackets: [{quoted(value)}]")
    if not isinstance(value, list):
        raise Bad(f"is {kind_of(value)}, not an array of strings", 'write ["…", "…"]')
    try:
        return tuple(string(item) for item in value)
    except Bad as bad:
        raise Bad(f"has an entry that {bad.cause}", bad.hint) from None


def string_or_strings(value: Any) -> tuple[str, ...]:
    return (string(value),) if isinstance(value, str) else strings(value)


def command(value: Any) -> tuple[str, ...]:
    """An array of words as they are, or one string split as a shell splits words."""
    if isinstance(value, str):
        import shlex

        try:
            words = shlex.split(string(value))
        except ValueError as exc:
            raise Bad(
                f"{quoted(value)} has an error in its quotes: {exc}", 'or write ["word", "word"]'
            ) from None
    elif isinstance(value, list):
        for word in value:
            if not isinstance(word, str):
                raise Bad(f"has {kind_of(word)} among its words", 'put it in quotes: "…"')
            if "\0" in word:
                raise Bad(f"has a word {quoted(word)} that contains NUL", "remove it")
        words = value
    else:
        raise Bad(f"is {kind_of(value)}", 'write ["program", "argument"]')
    if not words or not words[0]:
        raise Bad("names no program", 'write ["program", "argument"], or take the line out')
    return tuple(words)


def environment(value: Any) -> dict[str, str]:
    """A table of strings. ``~``, ``$VAR`` and ``{cwd}`` in them expand later."""
    if not isinstance(value, dict):
        raise Bad(f"is {kind_of(value)}, not a table", 'write { NAME = "value" }')
    for key, text in value.items():
        if not _VARIABLE.match(key):
            raise Bad(f"{quoted(key)} cannot name a variable", "use letters, digits and _")
        if not isinstance(text, str):
            raise Bad(f"{quoted(key)} is {kind_of(text)}, not a string", 'put it in quotes: "…"')
        if "\0" in text:
            raise Bad(f"{quoted(key)} contains NUL", "remove it")
    return value


def size(value: Any) -> int:
    """Bytes: an integer, or a string such as ``512M`` (K, M, G, T: powers of 1024)."""
    if isinstance(value, str):
        found = _SIZE.match(value.strip())
        if found is None:
            raise Bad(f"{quoted(value)} is no size", 'write bytes, or "64K", "512M", "2G"')
        value = int(found[1]) * _UNITS[found[2]]
    return count(value, 'bytes, or "64K", "512M", "2G"')


def stack(value: Any) -> int:
    found = size(value)
    if found < MIN_STACK:
        raise Bad(f"of {found} bytes is too small to start a program", 'write "64K" or more')
    return found


def count(value: Any, form: str = "an integer above 0") -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Bad(f"is {kind_of(value)}", f"write {form}")
    if not 0 < value <= MAX_NUMBER:
        raise Bad(f"is {value if abs(value) <= MAX_NUMBER else 'too large'}", f"write {form}")
    return value


def cores(value: Any) -> float:
    """Processor cores, fractions allowed."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Bad(f"is {kind_of(value)}", "write a number of cores, such as 0.5")
    if not 0 < value <= 1_000_000:  # NaN is refused as well
        raise Bad("is out of range", "write a number of cores, such as 0.5")
    return float(value)


def calls(value: Any) -> tuple[str, ...]:
    """System calls by name, in their order, each once."""
    return tuple(dict.fromkeys(call(text) for text in strings(value)))


def call(text: str) -> str:
    """A system call's name, of any architecture; the old ``__NR_`` before it is dropped."""
    plain = text.removeprefix("__NR_")
    if not _CALL.match(plain):
        raise Bad(f"{quoted(text)} cannot be a system call", "use its name, such as openat")
    if not callnames.known(plain):
        names = sorted({name for table in syscalls.NAMES.values() for name in table})
        raise Bad(
            f"{quoted(text)} is no system call",
            near(plain, names) or "see: podsh jettison --listcalls",
        )
    return plain


def capabilities(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(capability(text) for text in strings(value)))


def capability(text: str) -> str:
    """A name of <linux/capability.h>, in capitals, of one that a pod may keep."""
    plain = text.upper()
    if plain not in CAPABILITIES:
        raise Bad(
            f"{quoted(text)} is no capability", near(plain, CAPABILITIES) or "see capabilities(7)"
        )
    name = plain.removeprefix("CAP_").lower()
    if name in caps.REFUSED:
        raise Bad(f"{plain} is refused: {caps.REFUSED[name]}", caps.HINTS.get(name, "take it out"))
    return plain


def abis(value: Any) -> tuple[str, ...]:
    check = choice(*ABIS)
    found = tuple(dict.fromkeys(check(text) for text in strings(value)))
    if not found:
        raise Bad("is empty", 'write ["native"]')
    return found


def machine_id(value: Any) -> str | None:
    """true or "": a fresh one (""); false: none; else 32 hex digits."""
    if isinstance(value, bool):
        return "" if value else None
    if not isinstance(value, str):
        raise Bad(f"is {kind_of(value)}", "write true for a fresh one, or 32 hex digits in quotes")
    if value and not _HEX_ID.match(value):
        raise Bad(
            f"{quoted(value)} is no machine-id", "write 32 hex digits (0-9, a-f), or none at all"
        )
    return value


def device(value: Any) -> str:
    text = string(value)
    if not _DEVICE.match(text) or text in (".", ".."):
        raise Bad(f"{quoted(text)} cannot name a network device", "see: ip link")
    return text


def mac(value: Any) -> str | None:
    """``aa:bb:cc:dd:ee:ff``; ``**`` or ``xx`` for bytes that are free; all free: the kernel's
    choice (None)."""
    text = string(value).lower()
    if not _MAC.match(text):
        raise Bad(
            f"{quoted(text)} is no hardware address",
            f"write aa:bb:cc:dd:ee:ff, 52:54:00:**:**:**, or {ANY_MAC} for a random one",
        )
    text = text.replace("xx", ANY_BYTE)
    if text == ANY_MAC:
        return None
    first = text[:2]
    if first != ANY_BYTE and int(first, 16) & 1:
        raise Bad(f"{quoted(text)} is a multicast address", "write an even first byte, such as 52")
    return text


def script(value: Any) -> str:
    """The name of a file in a directory that is known."""
    text = string(value)
    if not text or "/" in text or text.startswith("."):
        raise Bad(f"{quoted(text)} is no plain name", "name a file of your cmdrs directory")
    return text


def address(value: Any) -> str:
    """``192.168.1.8/24`` or IPv6 alike; without a prefix length it is /24 (/64), as in jettison."""
    import ipaddress

    text = string(value)
    try:
        found = ipaddress.ip_interface(text if len(text) < 64 and "%" not in text else "")
    except ValueError:
        raise Bad(f"{quoted(text)} is no address", "write one such as 192.168.1.8/24") from None
    if "/" in text:
        return str(found)
    return f"{found.ip}/{24 if found.version == 4 else 64}"


def log(value: Any) -> tuple[int, int]:
    """``[SIZE, COUNT]``: MB of a file (0: unlimited), and how many files (0: never rotated)."""
    fits = isinstance(value, list) and len(value) == 2
    if not fits or any(type(n) is not int or not 0 <= n <= 1_000_000 for n in value):
        raise Bad("is not two integers", "write [SIZE in MB, COUNT of files], such as [100, 5]")
    return value[0], value[1]
