"""What a pod's system-call filter is asked to be, as data that describes itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Filter:
    """What the system-call filter refuses beyond its fixed list.

    ``notify``: calls with a path go to the monitor before the kernel carries them out. ``allow``:
    None where there is no whitelist; ``deny``: a blacklist; ``block``: errno even where ``strict``
    kills. ``where``: the file that the lists come from, ``form``: how it is written.
    """

    refuse_setid: bool  # root's pods must not make setuid files
    ptrace: bool = False
    nesting: bool = False
    new_filters: bool = True
    notify: bool = False
    allow: tuple[str, ...] | None = None
    block: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    strict: bool = False
    abi: tuple[str, ...] = ()  # foreign ones
    trace: bool = False  # every call is counted, and none is outside of a list
    caps: tuple[str, ...] = ()  # that the pod keeps
    packets: bool = False  # AF_PACKET is there
    where: str = ""
    form: Literal["toml", "pod"] = "toml"

    def describe(self) -> list[str]:
        """The lines of ``--dry-run``."""
        extra = [
            word
            for word, on in (
                ("setuid and setgid bits", self.refuse_setid),
                ("ptrace", not self.ptrace),
                ("new namespaces", not self.nesting),
                ("new filters", not self.new_filters),
            )
            if on
        ]
        foreign = f"foreign ABIs killed but {', '.join(self.abi)}" if self.abi else ""
        foreign = foreign or "foreign ABIs killed"
        lines = [f"filter   default refusals, {foreign}; also {', '.join(extra)}"]
        let_in = (("chroot", "CAP_SYS_CHROOT" in self.caps), ("packet sockets", self.packets))
        if allowed := [word for word, on in let_in if on]:
            lines.append(f"allow    {', '.join(allowed)}, for the capabilities that are kept")
        end = "killed" if self.strict else "ENOSYS"
        if self.trace:
            lines.append("calls    all are counted")
        elif self.allow is not None:
            lines.append(f"calls    {len(self.allow)} allowed, others {end}  [{self.where}]")
        elif self.deny:
            lines.append(f"calls    {len(self.deny)} {end}, others allowed  [{self.where}]")
        if self.block and not self.trace:
            lines.append(f"calls    {', '.join(self.block)} ENOSYS  [{self.where}]")
        if self.notify:
            lines.append("notify   calls with a path wait for the monitor, which may grant more")
        return lines
