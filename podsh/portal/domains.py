"""From profiles to policy: the domains that are loaded for a caller, their paths resolved.

What is mounted is found without links, so a domain's paths are, too. All of it is remembered until
a profile, or a directory on the way to one of the paths, changes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from podsh import paths
from podsh.globs import is_glob
from podsh.policy.access import Access, Where, contains
from podsh.policy.domain import Domain, Index
from podsh.policy.patterns import Pattern
from podsh.policy.wire import to_wire
from podsh.portal.hostpaths import HostPaths
from podsh.profiles import find

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from podsh.policy.wire import Rows
    from podsh.profiles import schema

_KEPT = 4096
_KEPT_INDEXES = 8


class Known(NamedTuple):
    """A profile as a domain. ``links``: (path as the profile has it, that path without links),
    where these differ."""

    domain: Domain
    wire: list[Any]
    links: tuple[tuple[str, str], ...]


class Loaded(NamedTuple):
    """The domains of one caller. ``broken``: why others are not among them."""

    all: Index
    known: list[Known]  # a bit of ``all`` each, in this order
    base: schema.Profile
    broken: tuple[str, ...]

    def of(self, mask: int) -> list[Known]:
        """Those of a mask of ``all``."""
        return [known for at, known in enumerate(self.known) if mask >> at & 1]


class Domains:
    """All that the portal knows of domains; ``load`` first, the rest is about what it gave."""

    def __init__(self, library: find.Library) -> None:
        self.paths = HostPaths()
        self._library = library
        self._known: dict[tuple[int, str], tuple[schema.Profile, schema.Profile, int, Known]] = {}
        self._rows: Rows = {}
        self._own = paths.own_paths()
        self._hidden: tuple[int, list[str]] = (-1, [])
        self._covers: dict[tuple[int, int], tuple[Loaded, Known, list[Known]]] = {}
        self._indexes: dict[tuple[int, ...], tuple[list[Known], Index]] = {}

    def load(self, ctx: schema.Context) -> Loaded:
        """The domains for a caller there, as profiles and host are now."""
        self.paths.refresh()
        base = self._library.load(find.BASE, ctx)
        found, broken = self._library.domains(ctx)
        known = [self.of(profile, base, name) for name, profile in found]
        key = tuple(map(id, known))
        if key not in self._indexes:
            if len(self._indexes) >= _KEPT_INDEXES:
                self._indexes.pop(next(iter(self._indexes)))
            self._indexes[key] = (known, Index([each.domain for each in known]))
        return Loaded(self._indexes[key][1], known, base, tuple(broken))

    def of(self, profile: schema.Profile, base: schema.Profile, name: str = "") -> Known:
        """A profile as a domain; ``base``'s deny is in every one. name: instead of its own."""
        name = name or profile.name
        kept = self._known.get((id(profile), name))
        if kept is not None and kept[1] is base and kept[2] == self.paths.generation:
            return kept[3]
        known = self._domain(profile, base, name)
        if len(self._known) >= _KEPT:
            self._known.clear()
            self._rows.clear()
        self._known[id(profile), name] = (profile, base, self.paths.generation, known)
        return known

    def covering(self, loaded: Loaded, own: Known) -> list[Known]:
        """The other loaded domains that ``own`` may become: they show all of it."""
        key = (id(loaded.all), id(own))
        if key not in self._covers:
            if len(self._covers) >= _KEPT_INDEXES:
                self._covers.pop(next(iter(self._covers)))
            found = [
                known
                for known in loaded.of(loaded.all.covering(own.domain) if loaded.known else 0)
                if known.domain.name != own.domain.name and known.domain.file != own.domain.file
            ]
            # with what the key is made of, so that no other object has that id
            self._covers[key] = (loaded, own, found)
        return self._covers[key][2]

    def _domain(self, profile: schema.Profile, base: schema.Profile, name: str) -> Known:
        accesses: list[Access] = []
        links: list[tuple[str, str]] = []
        for bind in profile.fs.bind:
            if bind.dst not in (None, bind.path):
                continue
            path, there = self.paths.real(bind.path)
            if path == "/" or contains("/proc", path) or (bind.optional and not there):
                continue
            accesses.append(
                Access.of(
                    path,
                    bind.write,
                    exec=bind.exec,
                    suid=bind.suid,
                    dev=bind.dev,
                    where=Where(bind.where.file, bind.where.line),
                )
            )
            if path != bind.path and there:
                links.append((bind.path, path))
        access = profile.access
        domain = Domain(
            name,
            tuple(accesses),
            access.transition,
            access.unlisted,
            self._patterns(access.ask),
            self._patterns((*access.deny, *base.access.deny)),
            profile.source,
        )
        return Known(domain, to_wire(domain, self._rows), tuple(links))

    def _patterns(self, given: Iterable[schema.Pattern]) -> tuple[Pattern, ...]:
        """Each as it is written, and where a link is on its way, what it leads to as well."""
        found: dict[str, Pattern] = {}
        for pattern in given:
            where = Where(pattern.where.file, pattern.where.line)
            for text in (pattern.text, self._real_pattern(pattern.text)):
                if text not in found:
                    found[text] = Pattern(text, where)
        return tuple(found.values())

    def _real_pattern(self, text: str) -> str:
        if not is_glob(text):
            return self.paths.real(text)[0]
        parts = text.split("/")
        first = next(at for at, part in enumerate(parts) if is_glob(part))
        plain, _ = self.paths.real("/".join(parts[:first]) or "/")
        return os.path.join(plain, *parts[first:])

    def hidden(self) -> list[str]:
        """podsh's own paths, as they are named and without links."""
        if self._hidden[0] != self.paths.generation:
            found = [*self._own, *(self.paths.real(path)[0] for path in self._own)]
            self._hidden = (self.paths.generation, list(dict.fromkeys(found)))
        return self._hidden[1]
