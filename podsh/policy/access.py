"""Accesses: a path and what may be done there. Pure data, no I/O.

A path contains what is below it, by component: ``/a`` contains ``/a/b``, not ``/aa``. Where several
accesses of one domain contain a path, the deepest decides, as with the mounts that they become:
``write /a`` with ``read /a/b`` leaves ``/a/b`` read-only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from podsh.errors import PodshError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Mode = Literal["read", "write", "connect"]

# permissions, as bits; whatever may be done at all includes READ
READ, WRITE, EXEC, SUID, DEV, CONNECT = 1, 2, 4, 8, 16, 32
# of two entries for one path the wider mode counts, but the stricter flags
FLAGS = EXEC | SUID | DEV
BIT: dict[Mode, int] = {"read": READ, "write": WRITE, "connect": CONNECT}


class Where(NamedTuple):
    """A line of a file; ``line`` 0: the command line, or podsh itself."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Where()


class Access(NamedTuple):
    """What may be done at ``path`` (absolute, normal) and below. ``perms``: the bits above."""

    path: str
    perms: int = READ | EXEC
    where: Where = NOWHERE

    @classmethod
    def of(
        cls,
        path: str,
        write: bool = False,
        *,
        exec: bool = True,
        suid: bool = False,
        dev: bool = False,
        where: Where = NOWHERE,
    ) -> Access:
        """From the words of a bind."""
        flags = exec * EXEC | suid * SUID | dev * DEV
        return cls(path, READ | write * WRITE | flags, where)

    @property
    def write(self) -> bool:
        return bool(self.perms & WRITE)

    def __str__(self) -> str:
        return f"{words(self.perms)} {self.path}"


def words(perms: int) -> str:
    """``read``, ``write``, with the flags that differ from a plain bind's."""
    found = ["write" if perms & WRITE else "read"]
    found += [
        word
        for word, on in (
            ("noexec", not perms & EXEC),
            ("suid", perms & SUID),
            ("dev", perms & DEV),
            ("connect", perms & CONNECT),
        )
        if on
    ]
    return ",".join(found)


def split(path: str, error: type[PodshError] = UsageError) -> list[str]:
    """The components of an absolute, normal path; none for ``/``. ``error`` for any other."""
    if path == "/":
        return []
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or "" in parts[1:] or "." in parts or ".." in parts:
        raise error(f"{path!a} is no absolute, normal path")
    del parts[0]
    return parts


def contains(top: str, path: str) -> bool:
    """Whether ``path`` is ``top`` or below it."""
    return path == top or top == "/" or path.startswith(top + "/")


class Reach:
    """Permissions by path: the deepest entry that contains a path gives them, 0 outside of all.

    ``pieces`` has parents before what is below them, and no entry that changes nothing.
    """

    __slots__ = ("pieces",)

    def __init__(self, pieces: Mapping[str, int]) -> None:
        self.pieces: dict[str, int] = {}
        for path in sorted(pieces, key=lambda path: path.split("/")):
            if pieces[path] != self.at(path):
                self.pieces[path] = pieces[path]

    def at(self, path: str) -> int:
        """The permissions at ``path``."""
        pieces = self.pieces
        while path not in pieces:
            if path == "/":
                return 0
            path = path[: path.rindex("/")] or "/"
        return pieces[path]

    def accesses(self) -> tuple[Access, ...]:
        """As accesses, parents first: what a jail mounts in this order."""
        return tuple(Access(path, perms) for path, perms in self.pieces.items())

    def __eq__(self, other: object) -> bool:
        return self.pieces == other.pieces if isinstance(other, Reach) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # holds a dict

    def __repr__(self) -> str:
        return f"Reach({', '.join(map(str, self.accesses()))})"


def merged(accesses: Iterable[Access]) -> dict[str, int]:
    """The permissions by path; of two for one path the wider mode, the stricter flags."""
    pieces: dict[str, int] = {}
    for path, perms, _ in accesses:
        old = pieces.get(path, perms)
        pieces[path] = (old | perms) & ~FLAGS | old & perms & FLAGS | READ
    return pieces


def reach(accesses: Iterable[Access]) -> Reach:
    """What the accesses of one domain show."""
    return Reach(merged(accesses))


def join(shown: Reach, granted: Iterable[Access]) -> Reach:
    """``shown`` with grants: each adds to all that it contains and takes nothing away."""
    grants: dict[str, int] = {}
    for path, perms, _ in granted:
        grants[path] = grants.get(path, 0) | perms
    if not grants:
        return shown
    return Reach({path: shown.at(path) | _over(grants, path) for path in shown.pieces | grants})


def _over(grants: dict[str, int], path: str) -> int:
    """What grants by path allow at ``path``, together."""
    perms = grants.get(path, 0)
    while path != "/":
        path = path[: path.rindex("/")] or "/"
        perms |= grants.get(path, 0)
    return perms


def granted_at(granted: Iterable[Access], path: str) -> int:
    """What grants allow at ``path``, together."""
    perms = 0
    for grant in granted:
        if contains(grant.path, path):
            perms |= grant.perms
    return perms


def added(new: Reach, old: Reach) -> tuple[Access, ...]:
    """What must be laid over ``old`` to get ``new``, parents first.

    An entry that is no wider than before is listed only below one that is, which would cover it.
    """
    laid = Reach({})
    for path in sorted({*new.pieces, *old.pieces}, key=lambda path: path.split("/")):
        now, over = new.at(path), laid.at(path)
        if now != over if over else now & ~old.at(path):
            laid.pieces[path] = now
    return laid.accesses()
