"""Small worlds for the tests of policy: strategies, and a model that asks every domain in turn."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from podsh.policy.access import BIT, EXEC, READ, Access, Mode, contains
from podsh.policy.domain import Domain, Index
from podsh.policy.patterns import Pattern, covers
from podsh.policy.state import Request, State, start, start_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMES = ("a", "aa", "b")
# every path of the small world
WORLD = ["/", *("/" + "/".join(parts) for n in (1, 2, 3) for parts in product(NAMES, repeat=n))]
MODES: tuple[Mode, ...] = ("read", "write")

paths = st.sampled_from(WORLD)
perms = st.sampled_from([READ, READ | EXEC, READ | 2, READ | 2 | EXEC, READ | 2 | EXEC | 8])
accesses = st.builds(Access, paths, perms)
patterns = st.builds(
    lambda parts: Pattern("/" + "/".join(parts)),
    st.lists(st.sampled_from(["a", "b", "a*", "?", "*"]), min_size=1, max_size=3),
)
requests = st.builds(Request, paths, st.sampled_from(MODES))


@st.composite
def domains(draw: st.DrawFn, name: str = "own", deny: bool = True) -> Domain:
    some = st.lists(patterns, max_size=2) if deny else st.just([])
    return Domain(
        name,
        tuple(draw(st.lists(accesses, max_size=4))),
        transition=draw(st.sampled_from(["auto", "ask", None])),
        unlisted=draw(st.sampled_from(["ask", "deny", None])),
        ask=tuple(draw(some)),
        deny=tuple(draw(some)),
    )


@st.composite
def lists_of_domains(draw: st.DrawFn, deny: bool = True) -> list[Domain]:
    number = draw(st.integers(1, 6))
    return [draw(domains(f"d{at}", deny)) for at in range(number)]


@st.composite
def states(draw: st.DrawFn) -> State:
    """A pod just started, by command or by profile, with wider domains that it may move to."""
    each = draw(lists_of_domains())
    if draw(st.booleans()):
        state = start(Index(each), draw(requests))
        if state is not None:
            return state
    own = draw(domains())
    each += [
        Domain(f"w{at}", own.accesses + more.accesses, deny=own.deny + more.deny)
        for at, more in enumerate(each)
    ]
    hidden = draw(st.lists(paths.filter(lambda path: path != "/"), max_size=1))
    return start_as(Index(each), own, hidden)


def shows(domain: Domain, path: str) -> int:
    """The permissions that a domain's accesses give, denials aside."""
    found = [access for access in domain.accesses if contains(access.path, path)]
    if not found:
        return 0
    depth = max(len(access.path) for access in found)
    found = [access for access in found if len(access.path) == depth]
    mode, flags = 0, ~0
    for access in found:
        mode |= access.perms & 3
        flags &= access.perms
    return mode | flags & ~3 | READ


def denies(each: Sequence[Pattern], path: str) -> bool:
    return any(covers(pattern.text, path) for pattern in each)


def allows(domain: Domain, request: Request) -> bool:
    return bool(shows(domain, request.path) & BIT[request.mode]) and not denies(
        domain.deny, request.path
    )


def members(index: Index, mask: int) -> Iterator[Domain]:
    return (domain for at, domain in enumerate(index.domains) if mask >> at & 1)


def mask_of(index: Index, chosen: Sequence[Domain]) -> int:
    return sum(1 << at for at, domain in enumerate(index.domains) if domain in chosen)


def view(state: State) -> dict[str, int]:
    """Every path of the world with the permissions that the pod has there, where it has any."""
    return {path: perms for path in WORLD if (perms := state.visible(path))}


def wider(new: dict[str, int], old: dict[str, int]) -> bool:
    """Whether ``new`` has all that ``old`` has."""
    return all(perms & ~new.get(path, 0) == 0 for path, perms in old.items())
