"""A pod's network, as data: what the plan asks for, and what the monitor makes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["none", "loop", "host", "ipvlan", "macvlan", "user"]
MODES: tuple[Mode, ...] = ("none", "loop", "host", "ipvlan", "macvlan", "user")
# a new link on a device of the host's: needs privilege there
LINKS = ("ipvlan", "macvlan")


@dataclass(frozen=True, slots=True)
class Gizmo:
    """A command of a ``cmdr`` script: run in the pod's network before the program.

    ``path``: of the file that the portal opened. ``caps``: a mask, over the pod's network alone.
    """

    path: str
    argv: tuple[str, ...]
    caps: int
    where: str  # file:line of the script

    def __str__(self) -> str:
        return f"cmdr     {' '.join(self.argv)}  [{self.where}]"


@dataclass(frozen=True, slots=True)
class Network:
    """``address`` with its prefix length; ``mac`` with ``**`` for bytes that are free, None: the
    kernel's choice. ``log``: traffic is captured to files of so many MB (0: without bound), so
    many of them (0: never one again)."""

    mode: Mode = "none"
    device: str = ""
    address: str = ""
    mac: str | None = None
    log: tuple[int, int] | None = None
    gizmos: tuple[Gizmo, ...] = ()

    @property
    def own(self) -> bool:
        """Whether the pod has a network namespace of its own."""
        return self.mode != "host"

    @property
    def needs_setup(self) -> bool:
        """Whether the monitor has more to do than to have a namespace made."""
        return self.mode in (*LINKS, "user") or self.log is not None or bool(self.gizmos)

    def __str__(self) -> str:
        if self.mode not in LINKS:
            return self.mode
        mac = f" {self.mac or 'a new hardware address'}" if self.mode == "macvlan" else ""
        return f"{self.mode} {self.device}{mac} {self.address}"

    def describe(self) -> list[str]:
        """The lines of ``--dry-run`` beyond those of the plan's operations."""
        lines = []
        if self.mode in LINKS:
            lines.append(f"link     eth0: {self}, gateway as {self.device}'s")
        elif self.mode == "user":
            lines.append("link     to the outside, by pasta or slirp4netns; not to the host itself")
        if self.log is not None:
            size, count = self.log
            bound = f"{size} MB a file" if size else "one file without bound"
            kept = f", {count} files" if size and count else ""
            lines.append(f"capture  its traffic, by tcpdump: {bound}{kept}")
        return lines + [str(gizmo) for gizmo in self.gizmos]

    def shown(self) -> dict[str, Any]:
        """What ``ps --json`` says of it."""
        fields: dict[str, Any] = {"mode": self.mode}
        if self.mode in LINKS:
            fields |= {"device": self.device, "address": self.address}
            if self.mode == "macvlan":
                fields["mac"] = self.mac
        if self.log is not None:
            fields["log"] = list(self.log)
        return fields

    def to_wire(self) -> list[Any]:
        gizmos = [(gizmo.path, gizmo.argv, gizmo.caps, gizmo.where) for gizmo in self.gizmos]
        return [self.mode, self.device, self.address, self.mac, self.log, gizmos]

    @classmethod
    def from_wire(cls, fields: list[Any]) -> Network:
        """Rebuild what ``to_wire`` gave, through marshal."""
        mode, device, address, mac, log, gizmos = fields
        found = tuple(Gizmo(path, tuple(argv), caps, where) for path, argv, caps, where in gizmos)
        return cls(mode, device, address, mac, log and tuple(log), found)
