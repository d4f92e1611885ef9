"""Domains, and an index over many: one walk of a trie says which of them allow an access.

A domain is a bit; a set of domains is an int. Each node of the trie has the masks of the domains
that have an entry there, so a look-up costs by the depth of the path, not by the number of domains.
Domains are only ever added: masks that others hold stay true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from podsh.errors import UsageError
from podsh.globs import is_glob
from podsh.policy.access import (
    CONNECT,
    DEV,
    EXEC,
    READ,
    SUID,
    WRITE,
    Access,
    Reach,
    merged,
    reach,
    split,
)
from podsh.policy.patterns import Pattern, Patterns, touches

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

BITS = (READ, WRITE, EXEC, SUID, DEV)
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Domain:
    """A profile as policy sees it. Paths are absolute and normal; see ``[access]`` for the rest."""

    name: str
    accesses: tuple[Access, ...]
    transition: Literal["auto", "ask"] | None = None
    unlisted: Literal["ask", "deny"] | None = None
    ask: tuple[Pattern, ...] = ()
    deny: tuple[Pattern, ...] = ()
    file: str = ""


class _Node:
    """One component of a path. Masks: ``own`` has an entry here, ``by_bit`` by permission of
    ``BITS``, ``readonly`` is own without write, ``below`` has an entry here or below."""

    __slots__ = ("below", "by_bit", "kids", "own", "readonly")

    def __init__(self) -> None:
        self.own = self.readonly = self.below = 0
        self.by_bit = [0] * len(BITS)
        self.kids: dict[str, _Node] = {}


def _joined(mask: int, bit: int) -> int:
    """``mask | bit``, but a lone bit stays one object: with 10,000 domains it is a large one."""
    return mask | bit if mask else bit


def _narrowed(node: _Node, masks: tuple[int, ...], mask: int) -> tuple[int, ...]:
    """Who of ``mask`` has which of ``BITS`` at ``node``, where its parent has ``masks``."""
    own = node.own & mask
    return tuple(
        [old ^ (old & own) | (here & mask) for old, here in zip(masks, node.by_bit, strict=True)]
    )


def _everybodys(masks: tuple[int, ...], mask: int) -> int:
    """The permissions that all of ``mask`` have."""
    if masks[0] != mask:
        return 0
    return sum([bit for bit, whose in zip(BITS, masks, strict=True) if whose == mask])


class Index:
    """All domains that a pod may be in."""

    __slots__ = (
        "_alike",
        "_ask",
        "_chains",
        "_deny",
        "_denying",
        "_meets",
        "_numbers",
        "_root",
        "_rules",
        "domains",
        "loaded",
        "strict",
    )

    def __init__(self, domains: Sequence[Domain] = ()) -> None:
        self.domains: list[Domain] = []
        self.loaded = 0  # which of them pods may move to by themselves
        self.strict = {"transition": 0, "unlisted": 0}  # who says "ask", who says "deny"
        self._numbers: dict[str, int] = {}
        self._root = _Node()
        self._chains: dict[str, tuple[_Node, ...]] = {}
        self._ask = Patterns()
        self._deny = Patterns()
        self._alike: tuple[int, set[_Node]] = 0, set()  # of so many domains
        self._meets: dict[int, Reach] = {}
        self._rules: dict[tuple[int, str, str], Pattern | None] = {}
        self._denying: tuple[int, dict[int, list[str]]] = 0, {}  # of so many domains
        self._enter(domains)
        self.loaded = (1 << len(self.domains)) - 1

    def add(self, domain: Domain, loaded: bool = True) -> int:
        """The domain's mask. loaded False: only for pods that are started with it.

        Adding an equal one again changes nothing but that. Raises UsageError, nothing changed, for
        another domain of a known name, and for what no path can be.
        """
        self._enter((domain,))
        bit = 1 << self._numbers[domain.name]
        if loaded:
            self.loaded |= bit
        return bit

    def _enter(self, domains: Iterable[Domain]) -> None:
        """All of them at once: most domains build on the same base, and so share their entries."""
        new: dict[str, Domain] = {}
        shows: dict[tuple[str, int], int] = {}
        asks: dict[str, int] = {}
        denies: dict[str, int] = {}
        bit = 1 << len(self.domains)
        for domain in domains:
            known = new.get(domain.name)
            if known is None and domain.name in self._numbers:
                known = self.domains[self._numbers[domain.name]]
            if known is not None:
                if known != domain:
                    raise UsageError(f"two profiles are called {domain.name!a}", place=domain.file)
                continue
            new[domain.name] = domain
            for entry in merged(domain.accesses).items():
                shows[entry] = _joined(shows.get(entry, 0), bit)
            for masks, given in ((asks, domain.ask), (denies, domain.deny)):
                for pattern in given:
                    masks[pattern.text] = _joined(masks.get(pattern.text, 0), bit)
            bit <<= 1
        for path, perms in shows:
            self._chain(path)
            if perms & CONNECT:
                raise UsageError("connecting is a person's to grant", place=path)
        for patterns, masks in ((self._ask, asks), (self._deny, denies)):
            for text in masks:
                patterns.add(text, 0)
        # from here on nothing fails
        for (path, perms), mask in shows.items():
            self._show(self._chain(path), perms, mask)
        for patterns, masks in ((self._ask, asks), (self._deny, denies)):
            for text, mask in masks.items():
                patterns.add(text, mask)
        for domain in new.values():
            bit = 1 << len(self.domains)
            self.strict["transition"] |= bit if domain.transition == "ask" else 0
            self.strict["unlisted"] |= bit if domain.unlisted == "deny" else 0
            self._numbers[domain.name] = len(self.domains)
            self.domains.append(domain)

    @staticmethod
    def _show(chain: tuple[_Node, ...], perms: int, mask: int) -> None:
        for node in chain:
            node.below = _joined(node.below, mask)
        node = chain[-1]
        node.own = _joined(node.own, mask)
        if not perms & WRITE:
            node.readonly = _joined(node.readonly, mask)
        for at, perm in enumerate(BITS):
            if perms & perm:
                node.by_bit[at] = _joined(node.by_bit[at], mask)

    def _chain(self, path: str) -> tuple[_Node, ...]:
        """The nodes from the root to ``path``, made where they are not there yet."""
        chain = self._chains.get(path)
        if chain is None:
            chain = (node := self._root,)
            for part in split(path):
                if (kid := node.kids.get(part)) is None:
                    kid = node.kids[part] = _Node()
                node = kid
                chain += (node,)
            self._chains[path] = chain
        return chain

    def members(self, mask: int) -> Iterator[Domain]:
        """The domains of a mask, in the order in which they were added."""
        while mask:
            low = mask & -mask
            yield self.domains[low.bit_length() - 1]
            mask ^= low

    def shown(self, parts: Sequence[str], write: bool) -> int:
        """Whose accesses contain the path of these components: the one walk."""
        node = self._root
        found = node.by_bit[1] if write else node.own
        for part in parts:
            kid = node.kids.get(part)
            if kid is None:
                break
            node = kid
            if node.own:
                if not write:
                    found |= node.own
                else:
                    if found & node.readonly:
                        found ^= found & node.readonly
                    found |= node.by_bit[1]
        return found

    def denied(self, parts: Sequence[str]) -> int:
        """Whose ``deny`` covers the path."""
        return self._deny.hits(parts) if self._deny else 0

    def rule(
        self, domain: Domain, key: Literal["ask", "deny"], parts: Sequence[str]
    ) -> Pattern | None:
        """A pattern of ``domain`` that covers the path."""
        patterns, given = (self._ask, domain.ask) if key == "ask" else (self._deny, domain.deny)
        number = self._numbers[domain.name]
        text = patterns.which(parts, 1 << number)
        if (number, key, text) not in self._rules:
            found = next((pattern for pattern in given if pattern.text == text), None)
            self._rules[number, key, text] = found
        return self._rules[number, key, text]

    def asking(self, parts: Sequence[str]) -> int:
        """Whose ``ask`` covers the path."""
        return self._ask.hits(parts) if self._ask else 0

    def denying(self, mask: int) -> list[str]:
        """The deny patterns of any domain of ``mask``: what is hidden while they are candidates."""
        kinds = self._by_whose()
        return [text for whose in self.deniers(mask) for text in kinds[whose]]

    def deniers(self, mask: int) -> tuple[int, ...]:
        """What ``denying(mask)`` depends on: who denies the same things."""
        return tuple([whose for whose in self._by_whose() if whose & mask])

    def _by_whose(self) -> dict[int, list[str]]:
        """The deny patterns by who has them: most domains have those of the same base."""
        if self._denying[0] != len(self.domains):
            found: dict[int, list[str]] = {}
            for text, whose in self._deny.masks():
                found.setdefault(whose, []).append(text)
            self._denying = len(self.domains), found
        return self._denying[1]

    def meet(self, mask: int) -> Reach:
        """What all domains of ``mask`` show: their intersection, flags the stricter of each.

        Denied paths are not taken out: they are hidden apart (``denying``).
        """
        if mask not in self._meets:
            if len(self._meets) >= _KEPT:
                self._meets.pop(next(iter(self._meets)))
            self._meets[mask] = Reach(dict(self._met(mask)))
        return self._meets[mask]

    def _met(self, mask: int) -> Iterator[tuple[str, int]]:
        ahead = [("", self._root, (0,) * len(BITS))] if mask else []
        while ahead:
            path, node, masks = ahead.pop()
            if node.own & mask:
                masks = _narrowed(node, masks, mask)
                if perms := _everybodys(masks, mask):
                    yield path or "/", perms
            # below a kid all of these must have entries, or nothing there is everybody's
            missing = mask ^ masks[0]
            for name, kid in node.kids.items():
                if kid.below & mask and kid.below & missing == missing:
                    ahead.append((f"{path}/{name}", kid, masks))

    def widened(self, mask: int, old: int) -> tuple[Access, ...]:
        """What must be laid over ``meet(old)`` to get ``meet(mask)``, as ``access.added`` has it;
        ``mask`` is a part of ``old``. Only what domains differ in is looked at."""
        found: list[Access] = []
        alike = self._all_alike()
        none = (0,) * len(BITS)
        ahead = [("", self._root, none, none, 0)]
        while ahead:
            path, node, masks, before, laid = ahead.pop()
            if node.own & old:
                masks, before = _narrowed(node, masks, mask), _narrowed(node, before, old)
                now = _everybodys(masks, mask)
                if now != laid if laid else now & ~_everybodys(before, old):
                    found.append(Access(path or "/", now))
                    laid = now
            missing = mask ^ masks[0]
            for name, kid in node.kids.items():
                if not laid and not kid.kids and kid.own & old == old:
                    if all([bit & old in (0, old) for bit in kid.by_bit]):
                        continue  # nothing that sets these apart
                if laid or (kid not in alike and kid.below & missing == missing):
                    ahead.append((f"{path}/{name}", kid, masks, before, laid))
        return tuple(sorted(found, key=lambda access: access.path.split("/")))

    def _all_alike(self) -> set[_Node]:
        """Nodes at and below which all domains have the same entries."""
        if self._alike[0] == len(self.domains):
            return self._alike[1]
        whole = (1 << len(self.domains)) - 1
        order = [self._root]
        for node in order:
            order += node.kids.values()
        found: set[_Node] = set()
        for node in reversed(order):
            if node.own in (0, whole) and all(bit in (0, whole) for bit in node.by_bit):
                if all(kid in found for kid in node.kids.values()):
                    found.add(node)
        self._alike = len(self.domains), found
        return found

    def covering(self, domain: Domain) -> int:
        """The loaded domains that show all that ``domain`` shows, in no stricter a way, and hide
        nothing of it that it does not hide itself."""
        mine = reach(domain.accesses)
        found = self.loaded
        for path, perms in mine.pieces.items():
            found &= self._no_stricter(split(path), perms)
        for path in mine.pieces:
            found &= ~self._stricter_below(path, mine, found)
        return found & ~self.hiders(mine.pieces, domain.deny, found)

    def hiders(self, paths: Collection[str], known: Iterable[Pattern], mask: int) -> int:
        """Who of ``mask`` denies something at, below or above ``paths`` that ``known`` does not."""
        texts = {pattern.text for pattern in known}
        hidden: Patterns | None = None
        shown = tuple(map(split, paths))
        ends = set(map(tuple, shown))
        above = {tuple(parts[:count]) for parts in shown for count in range(len(parts))}
        found = 0
        for text, whose in self._deny.masks():
            if not whose & mask or text in texts:
                continue
            parts = split(text)
            if is_glob(text):
                if any(touches(text, path) for path in paths):
                    found |= whose & mask
                continue
            name = tuple(parts)
            if name in above or any(name[:count] in ends for count in range(len(name) + 1)):
                hidden = hidden or Patterns.numbered(map(Pattern, texts))
                if not hidden.hits(parts):
                    found |= whose & mask
        return found

    def _no_stricter(self, parts: Sequence[str], perms: int) -> int:
        """Who gives at least these permissions at the path."""
        node = self._root
        masks = node.by_bit
        for part in parts:
            if (kid := node.kids.get(part)) is None:
                break
            node = kid
            if node.own:
                masks = [
                    old & ~node.own | here for old, here in zip(masks, node.by_bit, strict=True)
                ]
        found = -1
        for bit, whose in zip(BITS, masks, strict=True):
            if perms & bit:
                found &= whose
        return found

    def _stricter_below(self, top: str, mine: Reach, mask: int) -> int:
        """Who of ``mask`` has, below ``top``, an entry that gives less than ``mine`` there."""
        node = self._root
        for part in split(top):
            if (kid := node.kids.get(part)) is None:
                return 0
            node = kid
        perms = mine.pieces[top]
        found = 0
        ahead = [(top.rstrip("/"), node)]
        while ahead:
            path, node = ahead.pop()
            for bit, whose in zip(BITS, node.by_bit, strict=True):
                if perms & bit:
                    found |= node.own & ~whose & mask
            ahead += [
                (below, kid)
                for name, kid in node.kids.items()
                if kid.below & mask and (below := f"{path}/{name}") not in mine.pieces
            ]
        return found
