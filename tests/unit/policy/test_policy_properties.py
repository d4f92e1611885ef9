"""What must hold of every set of domains and every order of events, against a naive model."""

from __future__ import annotations

import marshal
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from podsh.errors import UsageError
from podsh.policy.access import Access, Reach, added, contains, granted_at, join, split
from podsh.policy.domain import Domain, Index
from podsh.policy.engine import give, step
from podsh.policy.patterns import covers, touches
from podsh.policy.state import Request, State, start, start_as
from podsh.policy.wire import from_wire, to_wire
from tests.helpers import policies as p

if TYPE_CHECKING:
    from random import Random

requests = st.lists(p.requests, max_size=8)
grants = st.lists(p.accesses, max_size=3)


def with_grants(state: State, wanted: list[Access]) -> State:
    """Those that no rule denies."""
    for access in wanted:
        with suppress(UsageError):
            state = give(state, access)
    return state


@given(p.lists_of_domains(), p.requests)
def test_the_trie_agrees_with_asking_each_domain(each: list[Domain], request: Request) -> None:
    index, parts = Index(each), split(request.path)
    bit = 2 if request.mode == "write" else 1
    assert index.shown(parts, bit == 2) == p.mask_of(
        index, [domain for domain in each if p.shows(domain, request.path) & bit]
    )
    for found, key in ((index.denied(parts), "deny"), (index.asking(parts), "ask")):
        wanted = [domain for domain in each if p.denies(getattr(domain, key), request.path)]
        assert found == p.mask_of(index, wanted)


@given(p.lists_of_domains(), st.integers(1, 63))
def test_the_meet_is_what_all_show(each: list[Domain], mask: int) -> None:
    index = Index(each)
    mask &= (1 << len(each)) - 1
    assume(mask)
    meet = index.meet(mask)
    for path in p.WORLD:
        wanted = ~0
        for domain in p.members(index, mask):
            wanted &= p.shows(domain, path)
        assert meet.at(path) == wanted, path
    assert Reach(meet.pieces).pieces == meet.pieces


@given(p.lists_of_domains(), st.integers(1, 63), st.integers(1, 63))
def test_what_a_move_adds_is_what_the_meets_differ_in(
    each: list[Domain], mask: int, more: int
) -> None:
    index = Index(each)
    mask &= (1 << len(each)) - 1
    assume(mask)
    old = mask | (more & (1 << len(each)) - 1)
    # twice: what is alike is found once
    for _ in range(2):
        assert index.widened(mask, old) == added(index.meet(mask), index.meet(old))


@given(p.domains(), p.lists_of_domains())
def test_who_covers_a_profile_shows_all_of_it(own: Domain, each: list[Domain]) -> None:
    index = Index(each)
    for domain in p.members(index, index.covering(own)):
        for path in p.WORLD:
            assert not p.shows(own, path) & ~p.shows(domain, path)
            if p.shows(own, path) and p.denies(domain.deny, path):
                assert p.denies(own.deny, path)


@given(p.domains(deny=False), p.lists_of_domains(deny=False), st.integers(0, 4))
def test_who_shows_all_of_a_profile_covers_it(own: Domain, each: list[Domain], out: int) -> None:
    # most that are drawn at random cover nothing: some that nearly do as well
    near = own.accesses[:out] + own.accesses[out + 1 :]
    each += [Domain(f"n{at}", near + more.accesses) for at, more in enumerate(each)]
    each += [Domain(f"w{at}", own.accesses + more.accesses) for at, more in enumerate(each)]
    index = Index(each)
    wide = [
        domain
        for domain in each
        if not any(p.shows(own, path) & ~p.shows(domain, path) for path in p.WORLD)
    ]
    assert index.covering(own) == p.mask_of(index, wide)


@given(p.domains(), p.lists_of_domains())
def test_a_pod_begins_as_its_profile(own: Domain, each: list[Domain]) -> None:
    state = start_as(Index(each), own)
    assert state.name == "own"
    assert p.view(state) == {
        path: perms
        for path in p.WORLD
        if (perms := p.shows(own, path)) and not p.denies(own.deny, path)
    }


@given(p.lists_of_domains(), p.requests)
def test_a_pod_by_command_begins_in_all_that_allow_it(each: list[Domain], request: Request) -> None:
    index = Index(each)
    found = start(index, request)
    wanted = [domain for domain in each if p.allows(domain, request)]
    assert (found.candidates if found else 0) == p.mask_of(index, wanted)


@given(p.states(), grants, st.lists(st.one_of(p.requests, p.accesses), max_size=8))
def test_access_never_shrinks_and_candidates_never_grow(
    state: State, before: list[Access], events: list[Request | Access]
) -> None:
    state = with_grants(state, before)
    seen = p.view(state)
    for event in events:
        old = state
        if isinstance(event, Request):
            state, decision = step(state, event, approved=True)
            assert (decision.verdict == "transition") == (state.candidates != old.candidates)
        else:
            state = with_grants(state, [event])
        now = p.view(state)
        assert p.wider(now, seen)
        assert state.candidates
        assert not state.candidates & ~old.candidates
        seen = now


@given(p.states(), grants, requests, st.randoms(use_true_random=False))
def test_the_order_of_what_succeeds_does_not_matter(
    first: State, before: list[Access], asked: list[Request], random: Random
) -> None:
    first = with_grants(first, before)
    state, fine = first, []
    for request in asked:
        state, decision = step(state, request, approved=True)
        if decision.verdict in ("allowed", "transition"):
            fine.append(request)
    random.shuffle(fine)
    again = first
    for request in fine:
        again, decision = step(again, request, approved=True)
        assert decision.verdict in ("allowed", "transition")
    assert again == state


@given(p.states(), grants, requests)
def test_what_is_allowed_is_visible_and_of_every_candidate_or_a_grant(
    state: State, before: list[Access], asked: list[Request]
) -> None:
    state = with_grants(state, before)
    for request in asked:
        state, decision = step(state, request, approved=True)
        fine = decision.verdict in ("allowed", "transition")
        bit = 2 if request.mode == "write" else 1
        if fine:
            assert state.visible(request.path) & bit
        for path, perms in p.view(state).items():
            by_grants = granted_at(state.grants, path)
            for domain in p.members(state.index, state.candidates):
                assert not perms & ~(p.shows(domain, path) | by_grants), path
        assert not fine or not any(covers(h.text, request.path) for h in state.hidden)
        assert not fine or not (state.own and p.denies(state.own.deny, request.path))


@given(p.states(), grants, requests)
def test_a_refusal_or_a_question_changes_nothing_and_moves_lead_on(
    state: State, before: list[Access], asked: list[Request]
) -> None:
    state = with_grants(state, before)
    for request in asked:
        same, decision = step(state, request)
        if decision.verdict in ("allowed", "ask", "deny"):
            assert same is state
        moved, done = step(state, request, approved=True)
        if decision.to:
            assert (done.verdict, done.to, done.add) == ("transition", decision.to, decision.add)
            assert done.to == moved.name
        else:
            assert (moved, done) == (same, decision)
        state = moved


@given(p.states(), requests)
def test_what_a_transition_adds_gives_the_new_access(state: State, asked: list[Request]) -> None:
    for request in asked:
        old = state.effective()
        state, decision = step(state, request, approved=True)
        new = state.effective()
        assert lay(old, decision.add) == {path: new.at(path) for path in p.WORLD}


@given(grants, grants)
def test_no_more_is_added_than_is_needed(old: list[Access], new: list[Access]) -> None:
    """Leaving any entry out gives something else; the first of them are wider than before."""
    before = join(Reach({}), old)
    after = join(before, new)
    found = added(after, before)
    wanted = {path: after.at(path) for path in p.WORLD}
    assert lay(before, found) == wanted
    for out in found:
        assert lay(before, tuple(access for access in found if access != out)) != wanted
    for top in found:
        if not any(contains(one.path, top.path) for one in found if one != top):
            assert top.perms & ~before.at(top.path)


def lay(old: Reach, over: tuple[Access, ...]) -> dict[str, int]:
    """The view after mounting ``over`` in its order: each covers what is below it."""
    view = {path: old.at(path) for path in p.WORLD}
    for access in over:
        for path in p.WORLD:
            if contains(access.path, path):
                view[path] = access.perms
    return view


@given(p.states(), grants, p.accesses)
def test_a_grant_is_seen_and_takes_nothing_away(
    state: State, before: list[Access], access: Access
) -> None:
    state = with_grants(state, before)
    try:
        wider = give(state, access)
    except UsageError:
        assert state.never.hits(split(access.path)) or state.index.denied(split(access.path))
        return
    assert not access.perms & ~wider.visible(access.path)
    assert wider.effective() == join(state.index.meet(wider.candidates), (*state.grants, access))
    old = state.effective()
    for path in p.WORLD:
        assert not old.at(path) & ~wider.effective().at(path)


@given(p.patterns, p.paths)
def test_touching_is_covering_something_there(pattern: p.Pattern, path: str) -> None:
    some = any(covers(pattern.text, one) for one in p.WORLD if contains(path, one))
    assert touches(pattern.text, path) == some


@given(p.domains())
def test_a_domain_survives_the_wire(domain: Domain) -> None:
    fields = marshal.loads(marshal.dumps(to_wire(domain)))
    assert from_wire(fields) == domain
    assert Index([domain]).add(from_wire(fields)) == 1
