"""The domains as a graph: which intersections there are, and what leads from one to another.

A node is a set of candidates, with what all of them show; an edge is a request that fewer of them
allow. There may be exponentially many: those nearest to where pods start come first, up to a bound.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.policy import rules
from podsh.policy.access import Reach, split, words
from podsh.policy.engine import allowing
from podsh.policy.events import path_to_wire
from podsh.policy.state import Request, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podsh.policy.domain import Index

MAX_NODES = 200
MAX_ACCESSES = 100


class Move(NamedTuple):
    """``request`` leads to the candidates ``mask``; asked: only if a person says yes."""

    request: Request
    mask: int
    asked: bool


class Node(NamedTuple):
    """start: pods that are started by command may begin here, and nothing leads here."""

    mask: int
    name: str
    start: bool
    moves: tuple[Move, ...]


class Graph(NamedTuple):
    """``shared``: what all loaded domains show. more: there are nodes that are not here."""

    nodes: tuple[Node, ...]
    shared: Reach
    more: bool


def graph(index: Index, places: Iterable[int] = (), limit: int = MAX_NODES) -> Graph:
    """The graph of all loaded domains, and of the sets of candidates ``places`` beside."""
    steps = _steps(index)
    starts = [mask for mask, request in steps.items() if request.mode == "read"]
    starts = [mask for mask in starts if not any(mask & other == mask != other for other in starts)]
    found: dict[int, Node] = {}
    ahead = deque([*starts, *places])
    while ahead and len(found) < limit:
        mask = ahead.popleft()
        if mask and mask not in found:
            moves = tuple(_moves(State(index, mask), steps))
            found[mask] = Node(mask, State(index, mask).name, mask in starts, moves)
            ahead += (move.mask for move in moves)
    more = any(mask and mask not in found for mask in ahead)
    return Graph(tuple(found.values()), index.meet(index.loaded), more)


def moves(state: State) -> list[Move]:
    """What a pod could move to by one request, the shortest path for each."""
    found: dict[int, Request] = {}
    for request, parts in _requests(state.index):
        if not rules.never(state, parts):
            _take(found, allowing(state, request, parts), request)
    asked = rules.transition(state) is not None
    return [
        Move(request, mask, asked)
        for mask, request in _sorted(found)
        if mask and mask != state.candidates
    ]


def _steps(index: Index) -> dict[int, Request]:
    """What requests leave of all loaded domains: each such set, with the shortest path to it."""
    found: dict[int, Request] = {}
    for request, parts in _requests(index):
        whose = index.shown(parts, request.mode == "write") & index.loaded
        _take(found, whose & ~index.denied(parts), request)
    found.pop(0, None)
    return dict(_sorted(found))


def _moves(state: State, steps: dict[int, Request]) -> Iterator[Move]:
    found: dict[int, Request] = {}
    for mask, request in steps.items():
        _take(found, mask & state.candidates, request)
    asked = rules.transition(state) is not None
    for mask, request in _sorted(found):
        if mask and mask != state.candidates:
            yield Move(request, mask, asked)


def _requests(index: Index) -> Iterator[tuple[Request, list[str]]]:
    """Reading and writing each path that some domain names: elsewhere no set of them changes."""
    for path in dict.fromkeys(access.path for d in index.domains for access in d.accesses):
        parts = split(path)
        yield Request(path), parts
        yield Request(path, "write"), parts


def _take(found: dict[int, Request], mask: int, request: Request) -> None:
    old = found.get(mask)
    if old is None or _order(request) < _order(old):
        found[mask] = request


def _sorted(found: dict[int, Request]) -> list[tuple[int, Request]]:
    return sorted(found.items(), key=lambda pair: (-pair[0].bit_count(), pair[1].path))


def _order(request: Request) -> tuple[bool, int, str]:
    return request.mode != "read", request.path.count("/"), request.path


def to_wire(found: Graph, index: Index, here: int = 0) -> dict[str, Any]:
    """JSON-able: ``nodes`` with their ``moves`` (``to``: the node's place in the list, None where
    it is not there; ``direct``: no other move leads half of the way), and what they show beyond
    ``shared``; ``here``: the place of that mask."""
    place = {node.mask: at for at, node in enumerate(found.nodes)}
    return {
        "nodes": [
            {
                "name": node.name,
                "start": node.start,
                "single": node.mask.bit_count() == 1,
                **_beyond(index.meet(node.mask), found.shared),
                "moves": [
                    {
                        **move_to_wire(move, index),
                        "to": place.get(move.mask),
                        "direct": not any(_between(move, other) for other in node.moves),
                    }
                    for move in node.moves
                ],
            }
            for node in found.nodes
        ],
        "shared": [_access(path, perms) for path, perms in found.shared.pieces.items()],
        "more": found.more,
        "here": place.get(here),
    }


def _between(move: Move, other: Move) -> bool:
    return move.mask & other.mask == move.mask != other.mask


def move_to_wire(move: Move, index: Index) -> dict[str, Any]:
    """A move without its node: ``name`` is what the pod would be called then."""
    request, mask, asked = move
    name = State(index, mask).name
    return {"mode": request.mode, **path_to_wire(request.path), "asked": asked, "name": name}


def _beyond(reach: Reach, shared: Reach) -> dict[str, Any]:
    more = [(path, perms) for path, perms in reach.pieces.items() if shared.at(path) != perms]
    shown = [_access(path, perms) for path, perms in more[:MAX_ACCESSES]]
    return {"accesses": shown, "left_out": len(more) - len(shown)}


def _access(path: str, perms: int) -> dict[str, str]:
    return {"mode": words(perms), **path_to_wire(path)}
