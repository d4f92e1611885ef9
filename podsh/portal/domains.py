"""From profiles to policy: the domains that are loaded for a caller, their paths resolved.

What is mounted is found without links, so a domain's paths are, too. All of it is remembered until
a profile, or a directory on the way to one of the paths, changes.
"""

from __future__ import annotations

import marshal
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

_KEPT = 16_384
_KEPT_INDEXES = 8
_KEPT_IDS = 65_536
_KEPT_PACKED = 16


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
        self._packed: dict[int, tuple[list[Known] | Known, bytes]] = {}
        # what was last loaded, and of what
        self._loaded: tuple[Any, schema.Profile, int, Loaded] | None = None
        # most profiles build on the same base: its binds and patterns, by their ids, as they are
        # in this generation
        self._binds: dict[int, tuple[schema.Bind, Access | None, tuple[str, str] | None]] = {}
        self._texts: dict[int, tuple[schema.Pattern, tuple[Pattern, ...]]] = {}
        self._generation = 0

    def load(self, ctx: schema.Context) -> Loaded:
        """The domains for a caller there, as profiles and host are now."""
        self.paths.refresh()
        base = self._library.load(find.BASE, ctx)
        found, broken = self._library.domains(ctx)
        last = self._loaded
        if last and last[0] is found and last[1] is base and last[2] == self.paths.generation:
            return last[3]
        known = [self.of(profile, base, name) for name, profile in found]
        key = tuple(map(id, known))
        if key not in self._indexes:
            if len(self._indexes) >= _KEPT_INDEXES:
                self._indexes.pop(next(iter(self._indexes)))
            self._indexes[key] = (known, Index([each.domain for each in known]))
        loaded = Loaded(self._indexes[key][1], known, base, tuple(broken))
        self._loaded = (found, base, self.paths.generation, loaded)
        return loaded

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

    def packed(self, domains: list[Known] | Known) -> bytes:
        """For a monitor, in marshal's format: few pods ever look at it. A list is one that
        ``covering`` or ``bycommand`` gave, and keeps."""
        if id(domains) not in self._packed:
            if len(self._packed) >= _KEPT_PACKED:
                self._packed.pop(next(iter(self._packed)))
            wire = [known.wire for known in domains] if isinstance(domains, list) else domains.wire
            # with what was packed, so that nothing else has that id
            self._packed[id(domains)] = (domains, marshal.dumps(wire))
        return self._packed[id(domains)][1]

    def _domain(self, profile: schema.Profile, base: schema.Profile, name: str) -> Known:
        if self._generation != self.paths.generation or len(self._texts) > _KEPT_IDS:
            self._binds.clear()
            self._texts.clear()
            self._generation = self.paths.generation
        found = [self._bind(bind) for bind in profile.fs.bind]
        access = profile.access
        domain = Domain(
            name,
            tuple([access for access, _ in found if access]),
            access.transition,
            access.unlisted,
            self._patterns(access.ask),
            self._patterns((*access.deny, *base.access.deny)),
            profile.source,
        )
        links = tuple([link for _, link in found if link])
        return Known(domain, to_wire(domain, self._rows), links)

    def _bind(self, bind: schema.Bind) -> tuple[Access | None, tuple[str, str] | None]:
        """What a domain has of a bind, and the link on its way."""
        kept = self._binds.get(id(bind))
        if kept is None:
            kept = self._binds[id(bind)] = (bind, *self._found(bind))
        return kept[1:]

    def _found(self, bind: schema.Bind) -> tuple[Access | None, tuple[str, str] | None]:
        if bind.dst not in (None, bind.path):
            return None, None
        path, there = self.paths.real(bind.path)
        if path == "/" or contains("/proc", path) or (bind.optional and not there):
            return None, None
        access = Access.of(
            path,
            bind.write,
            exec=bind.exec,
            suid=bind.suid,
            dev=bind.dev,
            where=Where(bind.where.file, bind.where.line),
        )
        return access, (bind.path, path) if path != bind.path and there else None

    def _patterns(self, given: Iterable[schema.Pattern]) -> tuple[Pattern, ...]:
        """Each as it is written, and where a link is on its way, what it leads to as well."""
        found: dict[str, Pattern] = {}
        for pattern in given:
            kept = self._texts.get(id(pattern))
            if kept is None:
                where = Where(pattern.where.file, pattern.where.line)
                texts = dict.fromkeys((pattern.text, self._real_pattern(pattern.text)))
                made = tuple(Pattern(text, where) for text in texts)
                kept = self._texts[id(pattern)] = (pattern, made)
            for each in kept[1]:
                found.setdefault(each.text, each)
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
