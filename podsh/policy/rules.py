"""The rules of a pod's profiles, and which of them speaks about a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from podsh.policy.access import BIT, NOWHERE, Access, Where, contains
from podsh.policy.state import Request, Rule, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.policy.domain import Domain


def never(state: State, parts: Sequence[str]) -> Rule | None:
    """The rule that hides the path for good: podsh's own, or ``deny`` of the pod's own profile."""
    hit = state.never.hits(parts) if state.never else 0
    if not hit:
        return None
    number = (hit & -hit).bit_length() - 1
    if state.own is None or number < len(state.hidden):
        return Rule("hidden", text=state.hidden[number].text)
    pattern = state.own.deny[number - len(state.hidden)]
    return Rule("access.deny", state.own.name, pattern.text, pattern.where)


def denial(state: State, parts: Sequence[str]) -> Rule | None:
    """A ``deny`` that covers the path, of any profile whose rules count."""
    return _pattern(state, state.index.denied(parts) & state.voices, "deny", parts)


def question(state: State, parts: Sequence[str]) -> Rule | None:
    """An ``ask`` that covers the path, of any profile whose rules count."""
    return _pattern(state, state.index.asking(parts) & state.voices, "ask", parts)


def _pattern(
    state: State, whose: int, key: Literal["ask", "deny"], parts: Sequence[str]
) -> Rule | None:
    for domain in state.index.members(whose & -whose):
        if pattern := state.index.rule(domain, key, parts):
            return Rule(f"access.{key}", domain.name, pattern.text, pattern.where)
    return None


def unlisted(state: State) -> tuple[Literal["ask", "deny"], Rule]:
    """What becomes of a path that no rule names: the strictest counts, the default is to ask."""
    found = state.index.strict["unlisted"] & state.voices
    for domain in state.index.members(found & -found):
        return "deny", Rule("access.unlisted", domain.name, "deny", Where(domain.file))
    speaker = state.own or next(state.index.members(state.voices))
    said = speaker.unlisted or ""
    where = Where(speaker.file) if said else NOWHERE
    return "ask", Rule("access.unlisted", speaker.name, said, where)


def transition(state: State) -> Rule | None:
    """The rule by which a transition is asked; None: it is not.

    A pod started by profile asks, unless that profile says "auto"; one started by command does
    not; the "ask" of any whose rules count is heard in both.
    """
    found = state.index.strict["transition"] & state.voices
    for domain in state.index.members(found & -found):
        return Rule("access.transition", domain.name, "ask", Where(domain.file))
    if state.own and state.own.transition != "auto":
        return Rule("access.transition", state.own.name)
    return None


def grant(state: State, request: Request) -> Access | None:
    """The person's grant that allows the request."""
    for grant in state.grants:
        if grant.perms & BIT[request.mode] and contains(grant.path, request.path):
            return grant
    return None


def bind(domain: Domain, request: Request) -> Rule | None:
    """The access of ``domain`` that decides about the path: the deepest that contains it."""
    best = None
    for access in domain.accesses:
        if contains(access.path, request.path) and (
            best is None
            or (len(access.path), access.perms & BIT[request.mode])
            > (len(best.path), best.perms & BIT[request.mode])
        ):
            best = access
    return Rule("fs.bind", domain.name, str(best), best.where) if best else None
