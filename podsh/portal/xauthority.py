"""The file of X authorities: what a client shows an X server so that it is let in. Pure.

A record is ``u16 family``, then address, number of the display, name of the method, and data, each
``u16 length, bytes``; big-endian (libXau, AuRead.c). The file may hold anything: who reads one
stops at the first record that is not whole, as libXau does.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MAX_BYTES = 1 << 20
# <X11/X.h>, <X11/Xauth.h>
INTERNET, INTERNET6, LOCAL, WILD = 0, 6, 256, 65535

_U16 = struct.Struct(">H")
_MOST = 0xFFFF
_BEST = (b"MIT-MAGIC-COOKIE-1", b"XDM-AUTHORIZATION-1")


class Entry(NamedTuple):
    """One authority. number: of the display in ASCII, empty for any. address: as of ``family``."""

    family: int
    address: bytes
    number: bytes
    name: bytes
    data: bytes


def read(data: bytes) -> list[Entry]:
    """The whole records of a file."""
    found: list[Entry] = []
    at = 0
    while at + _U16.size <= len(data):
        (family,) = _U16.unpack_from(data, at)
        at += _U16.size
        strings: list[bytes] = []
        while len(strings) < 4 and at + _U16.size <= len(data):
            (length,) = _U16.unpack_from(data, at)
            at += _U16.size
            if at + length > len(data):
                return found
            strings.append(data[at : at + length])
            at += length
        if len(strings) < 4:
            return found
        found.append(Entry(family, *strings))
    return found


def write(entries: Iterable[Entry]) -> bytes:
    """The file that has these. ValueError for a string that is too long for one."""
    parts: list[bytes] = []
    for entry in entries:
        parts.append(_U16.pack(entry.family))
        for string in entry[1:]:
            if len(string) > _MOST:
                raise ValueError(f"{len(string)} bytes in an authority")
            parts += (_U16.pack(len(string)), string)
    return b"".join(parts)


def best(
    entries: Iterable[Entry], number: int, addresses: Collection[tuple[int, bytes]]
) -> Entry | None:
    """The one that a client of display ``number`` would show, at one of ``addresses`` (family,
    address): the first with the best method, as XauGetBestAuthByAddr(3) looks."""
    name = str(number).encode()
    found = None
    for entry in entries:
        if entry.family != WILD and (entry.family, entry.address) not in addresses:
            continue
        if entry.number not in (b"", name):
            continue
        if found is None or _rank(entry) < _rank(found):
            found = entry
    return found


def alone(entry: Entry, number: int) -> Entry:
    """It, for that display alone, under whatever name the machine has: a pod has its own."""
    return Entry(WILD, b"", str(number).encode(), entry.name, entry.data)


def cookie(number: int, data: bytes) -> Entry:
    """A new one. data: 16 random bytes."""
    return Entry(WILD, b"", str(number).encode(), _BEST[0], data)


def _rank(entry: Entry) -> int:
    return _BEST.index(entry.name) if entry.name in _BEST else len(_BEST)
