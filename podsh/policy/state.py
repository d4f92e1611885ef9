"""A pod's place among the domains: its candidates, and what the person granted it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from podsh.policy.access import NOWHERE, Access, Mode, Reach, Where, granted_at, join, split
from podsh.policy.patterns import Pattern, Patterns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podsh.policy.domain import Domain, Index

NAMES_SHOWN = 4


class Request(NamedTuple):
    """What a pod asks for: the absolute, normal path of an object of the host."""

    path: str
    mode: Mode = "read"


class Rule(NamedTuple):
    """What decided. ``key``: ``fs.bind``, ``access.deny``, ``access.ask``, ``access.transition``,
    ``access.unlisted``, ``grant``, ``hidden`` (podsh's own), or ``unattended`` (nobody was there
    to be asked). ``text``: what the line says, empty where a default decided. ``where``: the line,
    or the profile's file alone."""

    key: str
    domain: str = ""
    text: str = ""
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class State:
    """``candidates``: a mask of the index. ``own``: the profile that it was started with, if any,
    ``own_bit`` its mask (0: none). ``hidden``: podsh's own paths."""

    index: Index
    candidates: int
    own: Domain | None = None
    own_bit: int = 0
    grants: tuple[Access, ...] = ()
    hidden: tuple[Pattern, ...] = ()
    # hidden, then own.deny, as one walk: no candidate and no grant changes these
    never: Patterns = field(default_factory=Patterns, repr=False, compare=False)

    @property
    def voices(self) -> int:
        """Whose rules count: the profile that it was started with while that is what it is; else
        the candidates', and that profile's still."""
        if self.own_bit & self.candidates:
            return self.own_bit
        return self.candidates | self.own_bit

    @property
    def name(self) -> str:
        """``A∩B``; of a pod that still has the access of the profile it was started with, that."""
        return self.name_of(self.candidates)

    @property
    def names(self) -> tuple[str, ...]:
        """All candidates' names."""
        return tuple(domain.name for domain in self.index.members(self.candidates))

    def name_of(self, mask: int) -> str:
        """The name of the intersection of ``mask``; of many the first few, and how many more."""
        if self.own and self.own_bit & mask:
            return self.own.name
        names: list[str] = []
        for domain in self.index.members(mask):
            if len(names) == NAMES_SHOWN:
                names.append(f"{mask.bit_count() - NAMES_SHOWN} more")
                break
            names.append(domain.name)
        return "∩".join(names)

    def effective(self) -> Reach:
        """All that the pod may reach, but for what is hidden there (``hiding``)."""
        return join(self.index.meet(self.candidates), self.grants)

    def at(self, path: str) -> int:
        """The permissions at one path, hidden or not: as ``effective`` has it, but quicker."""
        return self.index.meet(self.candidates).at(path) | granted_at(self.grants, path)

    def hiding(self) -> list[str]:
        """Patterns of what is hidden below every bind and every grant."""
        own = dict.fromkeys(text for text, _ in self.never.masks())
        return [*(own | dict.fromkeys(self.index.denying(self.voices)))]

    def visible(self, path: str) -> int:
        """The permissions at ``path``, 0 where it is hidden."""
        parts = split(path)
        if self.never.hits(parts) or self.index.denied(parts) & self.voices:
            return 0
        return self.effective().at(path)


def start(index: Index, request: Request, hidden: Iterable[str] = ()) -> State | None:
    """A pod started by command: in all loaded domains that allow ``request`` (reading the
    executable). None where there is no such domain."""
    parts = split(request.path)
    whose = index.loaded & index.shown(parts, request.mode == "write")
    whose &= ~index.denied(parts)
    paths = _plain(hidden)
    return State(index, whose, hidden=paths, never=Patterns.numbered(paths)) if whose else None


def start_in(index: Index, hidden: Iterable[str] = ()) -> State:
    """A pod started by command, of which the loaded domains are the candidates already."""
    paths = _plain(hidden)
    return State(index, index.loaded, hidden=paths, never=Patterns.numbered(paths))


def start_as(index: Index, own: Domain, hidden: Iterable[str] = ()) -> State:
    """A pod started by profile: it begins as ``own`` and may move to what contains it.

    ``own`` need not be in the index yet. Raises UsageError where another of its name is.
    """
    bit = index.add(own, loaded=False)
    paths = _plain(hidden)
    never = Patterns.numbered((*paths, *own.deny))
    return State(index, bit | index.covering(own), own, bit, hidden=paths, never=never)


def _plain(hidden: Iterable[str]) -> tuple[Pattern, ...]:
    return tuple(Pattern(path) for path in hidden)
