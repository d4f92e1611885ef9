"""What an administrator lets a user do with the machine's networks: jettison's users file.

# comment
newpts                         (an own devpts instance is always there)
netdev DEV                     links may be made on that device
iplimit COUNT                  so many live pods with such links, at most
ipaddr ADDR/LEN                that address may be taken; ADDR-ADDR/LEN: any of these;
                               NET/LEN, host bits zero: any of that network
macaddr MAC                    that hardware address; ** (or xx) stands for any byte, and
                               **:**:**:**:**:** also for the kernel's choice
gizmo COMMAND [CAP_X]…         a cmdr script may run it; with these capabilities over the
                               pod's network, in place of those that the command is known for
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podsh.errors import UsageError
from podsh.profiles import values as v
from podsh.profiles.words import Bad, near, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_LINES = 20_000
# what a gizmo may have; all of it is over the pod's own network
GIZMO_CAPS = ("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE")


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from ``first`` to ``last``, each with the prefix length ``length``."""

    first: Address
    last: Address
    length: int

    def has(self, address: Address, length: int) -> bool:
        if address.version != self.first.version or length != self.length:
            return False
        return int(self.first) <= int(address) <= int(self.last)


@dataclass(frozen=True, slots=True)
class Permits:
    """One file, read. ``gizmos``: command -> capabilities, None: those it is known for."""

    file: str
    devices: frozenset[str]
    limit: int | None
    addresses: tuple[Range, ...]
    macs: tuple[str, ...]
    gizmos: dict[str, tuple[str, ...] | None]

    def check_link(self, kind: str, device: str, address: str, mac: str | None, used: int) -> None:
        """Raises UsageError where the file does not allow such a link. used: how many live pods
        of the user have one."""
        if self.limit is None:
            self._refuse("has no iplimit line", "iplimit 1")
        elif used >= self.limit:
            self._refuse(f"allows {self.limit} (iplimit), and {used} pods have one", "")
        if device not in self.devices:
            self._refuse(f"does not allow device {device}", f"netdev {device}")
        wanted = ipaddress.ip_interface(address)
        if not any(found.has(wanted.ip, wanted.network.prefixlen) for found in self.addresses):
            self._refuse(f"does not allow {address}", f"ipaddr {address}")
        if kind == "macvlan" and not any(covers(pattern, mac) for pattern in self.macs):
            shown = mac or v.ANY_MAC
            self._refuse(f"does not allow hardware address {shown}", f"macaddr {shown}")

    def _refuse(self, cause: str, line: str) -> None:
        hint = f"an administrator adds: {line}" if line else "end one of them first"
        raise UsageError(cause, place=self.file, hint=hint)


def covers(pattern: str, mac: str | None) -> bool:
    """Whether every address that ``mac`` may become is one of ``pattern``."""
    wanted = (mac or v.ANY_MAC).split(":")
    return all(
        allowed in (v.ANY_BYTE, byte)
        for allowed, byte in zip(pattern.split(":"), wanted, strict=True)
    )


def parse(text: str, file: str) -> Permits:
    """Raises UsageError with ``file:line``."""
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            if number > MAX_LINES:
                raise Bad(f"more than {MAX_LINES} lines", "is this a users file?")
            if not line.rstrip("\r").replace("\t", " ").isprintable():
                raise Bad("unprintable characters", "remove them")
            handler = _HANDLERS.get(words[0])
            if handler is None:
                raise Bad(
                    f"unknown keyword {quoted(words[0])}",
                    near(words[0], _HANDLERS) or f"known: {', '.join(_HANDLERS)}",
                )
            handler(reader, words[1:])
        except Bad as bad:
            raise UsageError(bad.cause, place=f"{file}:{number}", hint=bad.hint) from None
    return Permits(
        file,
        frozenset(reader.devices),
        reader.limit,
        tuple(reader.addresses),
        tuple(reader.macs),
        reader.gizmos,
    )


class _Reader:
    """The lines so far."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.limit: int | None = None
        self.addresses: list[Range] = []
        self.macs: list[str] = []
        self.gizmos: dict[str, tuple[str, ...] | None] = {}

    def newpts(self, words: list[str]) -> None:
        if words:
            raise Bad(f"{quoted(words[0])} is too much", "the word stands alone")

    def netdev(self, words: list[str]) -> None:
        self.devices.append(v.device(_one("netdev DEV", words)))

    def iplimit(self, words: list[str]) -> None:
        text = _one("iplimit COUNT", words)
        if self.limit is not None:
            raise Bad("iplimit is there twice", "keep one")
        if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0):
            raise Bad(f"iplimit {quoted(text)} is no count", "write a number above 0")
        self.limit = int(text)

    def ipaddr(self, words: list[str]) -> None:
        text = _one("ipaddr ADDR/LEN", words)
        first, dash, rest = text.partition("-")
        if dash:
            last, slash, length = rest.partition("/")
            found = ipaddress.ip_interface(v.address(f"{first}/{length}" if slash else first))
            end = ipaddress.ip_interface(v.address(f"{last}/{length}" if slash else last))
            if end.version != found.version or int(end.ip) < int(found.ip):
                raise Bad(f"{quoted(text)} is no range", "write the lower address first")
            self.addresses.append(Range(found.ip, end.ip, found.network.prefixlen))
            return
        found = ipaddress.ip_interface(v.address(text))
        network = found.network
        whole = found.ip == network.network_address and network.num_addresses > 1
        last_ip = network.broadcast_address if whole else found.ip
        self.addresses.append(Range(found.ip, last_ip, network.prefixlen))

    def macaddr(self, words: list[str]) -> None:
        self.macs.append(v.mac(_one("macaddr MAC", words)) or v.ANY_MAC)

    def gizmo(self, words: list[str]) -> None:
        if not words:
            raise Bad("gizmo names nothing", "write gizmo COMMAND")
        name, *caps = words
        if "/" in name or name.startswith("."):
            raise Bad(
                f"gizmo {quoted(name)} is no plain name", "name a file of the gizmos directory"
            )
        if name in self.gizmos:
            raise Bad(f"gizmo {quoted(name)} is there twice", "keep one")
        found = tuple(v.capability(cap) for cap in caps)
        if wrong := [cap for cap in found if cap not in GIZMO_CAPS]:
            raise Bad(f"a gizmo cannot have {wrong[0]}", f"it may have {', '.join(GIZMO_CAPS)}")
        self.gizmos[name] = found or None


def _one(form: str, words: list[str]) -> str:
    if len(words) != 1:
        raise Bad(f"{form.split()[0]} takes one word", f"write {form}")
    return words[0]


_HANDLERS: dict[str, Callable[[_Reader, list[str]], None]] = {
    "newpts": _Reader.newpts,
    "netdev": _Reader.netdev,
    "iplimit": _Reader.iplimit,
    "ipaddr": _Reader.ipaddr,
    "macaddr": _Reader.macaddr,
    "gizmo": _Reader.gizmo,
}
