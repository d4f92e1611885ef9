"""Domains as plain lists, for marshal: what the portal read is what a pod's monitor decides by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podsh.policy.access import Access, Where
from podsh.policy.domain import Domain
from podsh.policy.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable


def to_wire(domain: Domain) -> list[Any]:
    """Read back by ``from_wire``."""
    return [
        domain.name,
        [[path, perms, *where] for path, perms, where in domain.accesses],
        domain.transition,
        domain.unlisted,
        _patterns(domain.ask),
        _patterns(domain.deny),
        domain.file,
    ]


def from_wire(fields: list[Any]) -> Domain:
    """The domain that ``to_wire`` gave. The sender is podsh itself."""
    name, accesses, transition, unlisted, ask, deny, file = fields
    return Domain(
        name,
        tuple(Access(path, perms, Where(where, line)) for path, perms, where, line in accesses),
        transition,
        unlisted,
        tuple(Pattern(text, Where(where, line)) for text, where, line in ask),
        tuple(Pattern(text, Where(where, line)) for text, where, line in deny),
        file,
    )


def _patterns(patterns: Iterable[Pattern]) -> list[list[Any]]:
    return [[text, *where] for text, where in patterns]
