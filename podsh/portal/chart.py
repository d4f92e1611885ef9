"""The map of the domains, and a live pod's place in it: for ``graph`` and ``tree``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podsh.policy import graph
from podsh.policy.access import Access
from podsh.policy.domain import Index
from podsh.policy.state import State, start_as
from podsh.portal import launch, processes
from podsh.portal.decisions import path_of

if TYPE_CHECKING:
    from podsh.portal.domains import Domains
    from podsh.portal.fleet import Fleet
    from podsh.profiles.find import Library


async def draw(
    fleet: Fleet, library: Library, domains: Domains, message: dict[str, Any]
) -> dict[str, Any]:
    """``nodes``, ``shared``, ``more``, ``here`` as of graph.to_wire; ``broken``; of a pod
    (``name``) its ``pod``: where it is, what it may move to, its grants and processes.

    Profiles are taken as they are now, for a caller where the message says.
    """
    ctx = launch.context(message)
    loaded = domains.load(ctx)
    answer: dict[str, Any] = {"broken": list(loaded.broken), "pod": None}
    if message.get("name") is None:
        return answer | graph.to_wire(graph.graph(loaded.all), loaded.all)
    name = str(message["name"])
    found = await fleet.ask(name, "domain")
    pod = fleet.get(name)
    asked = {**message, "profiles": fleet.request(pod).get("profiles")}
    state = _state(domains, library, asked, found)
    index = state.index
    places = [state.candidates]
    answer |= graph.to_wire(graph.graph(index, places), index, state.candidates)
    answer["pod"] = {
        "name": name,
        "domain": found["name"],
        "candidates": found["candidates"],
        "effective": found["effective"],
        "grants": found["grants"],
        "moves": [graph.move_to_wire(move, index) for move in graph.moves(state)],
        "waiting": len(pod.requests),
        "processes": processes.below(pod.init_pid),
    }
    return answer


def _state(
    domains: Domains, library: Library, message: dict[str, Any], found: dict[str, Any]
) -> State:
    """The pod's state, rebuilt from the profiles as they are now and the names it gave."""
    ctx = launch.context(message)
    loaded = domains.load(ctx)
    index = loaded.all
    names = {str(name) for name in found["candidates"]}
    own = None
    if not names <= {known.domain.name for known in loaded.known} or message.get("profiles"):
        own = launch.by_profile(domains, library, message, ctx).own.domain
        # the loaded ones are shared with who asks next: the pod's own profile is not added there
        others = [each.domain for each in loaded.known if each.domain.name != own.name]
        index = Index(others)
    state = start_as(index, own) if own else State(index, 0)
    mask = sum(1 << at for at, domain in enumerate(index.domains) if domain.name in names)
    grants = tuple(
        Access.of(path_of(given), str(given["mode"]).startswith("write"))
        for given in found["grants"]
    )
    return replace(state, candidates=mask or state.candidates, grants=grants)
