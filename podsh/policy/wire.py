"""Domains as plain lists, for marshal: what the portal read is what a pod's monitor decides by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podsh.policy.access import Access, Where
from podsh.policy.domain import Domain
from podsh.policy.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # most domains build on the same base: equal rows are one object, which marshal writes once
    Rows = dict[Access | Pattern, list[Any]]
    Read = dict[int, Any]


def to_wire(domain: Domain, rows: Rows | None = None) -> list[Any]:
    """Read back by ``from_wire``. rows: kept by who writes many, so that they share."""
    rows = {} if rows is None else rows
    return [
        domain.name,
        _shared(domain.accesses, rows),
        domain.transition,
        domain.unlisted,
        _shared(domain.ask, rows),
        _shared(domain.deny, rows),
        domain.file,
    ]


def _shared(items: Iterable[Access | Pattern], rows: Rows) -> list[Any]:
    found = []
    for item in items:
        if item not in rows:
            rows[item] = [*item[:-1], *item.where]
        found.append(rows[item])
    return found


def from_wire(fields: list[Any], read: Read | None = None) -> Domain:
    """The domain that ``to_wire`` gave. The sender is podsh itself. read: kept by who reads many
    of one message."""
    read = {} if read is None else read
    name, accesses, transition, unlisted, ask, deny, file = fields
    return Domain(
        name,
        _read(accesses, _access, read),
        transition,
        unlisted,
        _read(ask, _pattern, read),
        _read(deny, _pattern, read),
        file,
    )


def _read(rows: list[Any], made: Callable[[list[Any]], Any], read: Read) -> tuple[Any, ...]:
    try:
        return tuple(map(read.__getitem__, map(id, rows)))
    except KeyError:
        for row in rows:
            if id(row) not in read:
                read[id(row)] = made(row)
        return tuple(map(read.__getitem__, map(id, rows)))


def _access(row: list[Any]) -> Access:
    path, perms, where, line = row
    return Access(path, perms, Where(where, line))


def _pattern(row: list[Any]) -> Pattern:
    text, where, line = row
    return Pattern(text, Where(where, line))
