"""What happens when a pod reaches further, and what a person's grants change.

``step`` is all there is of change by the pod itself. Candidates only ever get fewer, so what it
may reach only ever grows. The first that fits decides:

1. hidden for good (podsh's own, ``deny`` of the profile that the pod was started with): denied
2. every candidate allows it, by its accesses or by a grant, and does not deny it: allowed
3. some do: these become the candidates, or that is asked (``transition``)
4. none does: a ``deny``, an ``ask``, or ``unlisted`` of the profiles whose rules count
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from podsh.errors import UntrustedInput, UsageError
from podsh.policy import rules
from podsh.policy.access import READ, Access, added, granted_at, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.policy.state import Request, Rule, State

Verdict = Literal["allowed", "transition", "ask", "deny"]


class Decision(NamedTuple):
    """``rule``: what decided; None for what is plainly allowed. Of a transition, done or asked:

    to: the name of the domain that it leads to, empty in any other decision.
    add: what must be mounted, in this order.
    """

    verdict: Verdict
    rule: Rule | None = None
    to: str = ""
    add: tuple[Access, ...] = ()


ALLOWED = Decision("allowed")


def step(state: State, request: Request, approved: bool = False) -> tuple[State, Decision]:
    """The state after ``request``, and what to do about it.

    approved: the person said yes to the transition that was asked; all else is decided anew.
    Raises UntrustedInput for a path that is not absolute and normal.
    """
    parts = split(request.path, UntrustedInput)
    if rule := rules.never(state, parts):
        return state, Decision("deny", rule)
    able = allowing(state, request, parts)
    if able == state.candidates:
        return state, ALLOWED
    if not able:
        return state, _refusal(state, parts)
    asked = None if approved else rules.transition(state)
    moved = replace(state, candidates=able)
    decision = Decision(
        "ask" if asked else "transition",
        asked or rules.bind(next(state.index.members(able)), request),
        state.name_of(able),
        added(moved.effective(), state.effective())
        if state.grants
        else state.index.widened(able, state.candidates),
    )
    return (state if asked else moved), decision


def allowing(state: State, request: Request, parts: Sequence[str]) -> int:
    """The candidates that allow the request, grants counted; what is hidden for good aside."""
    able = state.candidates
    if not (state.grants and rules.grant(state, request)):
        if request.mode == "connect":
            return 0  # a class of its own, which no domain allows
        able &= state.index.shown(parts, request.mode == "write")
    if able and (denied := state.index.denied(parts) & able):
        able ^= denied
    return able


def _refusal(state: State, parts: Sequence[str]) -> Decision:
    if rule := rules.denial(state, parts):
        return Decision("deny", rule)
    if rule := rules.question(state, parts):
        return Decision("ask", rule)
    return Decision(*rules.unlisted(state))


def give(state: State, access: Access) -> State:
    """The state once the person has granted ``access``.

    Raises UsageError where a rule denies the path: that rule is the thing to change.
    """
    parts = split(access.path)
    if rule := rules.never(state, parts) or rules.denial(state, parts):
        if rule.key == "hidden":
            raise UsageError("this is podsh's own, never granted", place=rule.text)
        raise UsageError(
            f"profile {rule.domain!a} denies {rule.text!a}",
            place=str(rule.where),
            hint="take it out of access.deny there",
        )
    candidates = state.candidates
    if state.own and state.own_bit & candidates:
        # it still is that profile: who would hide some of the grant is no longer a superset of it
        known = (*state.hidden, *state.own.deny)
        candidates &= ~state.index.hiders((access.path,), known, candidates ^ state.own_bit)
    old = granted_at((g for g in state.grants if g.path == access.path), access.path)
    grants = (
        *(g for g in state.grants if g.path != access.path),
        access._replace(perms=old | access.perms | READ),
    )
    return replace(state, grants=grants, candidates=candidates)
