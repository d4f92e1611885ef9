"""The graph of the domains: what is in it, what leads where, and that it stays bounded."""

from __future__ import annotations

import json

from hypothesis import given

from podsh.policy.access import Access, Where
from podsh.policy.domain import Domain, Index
from podsh.policy.engine import step
from podsh.policy.graph import MAX_ACCESSES, Graph, graph, moves, to_wire
from podsh.policy.patterns import Pattern
from podsh.policy.state import Request, State, start, start_as
from tests.helpers import policies as p


def ro(path: str) -> Access:
    return Access.of(path)


def rw(path: str) -> Access:
    return Access.of(path, True)


CLIENTS = [
    Domain("OpenBar", (ro("/usr"), rw("/c/open")), "auto"),
    Domain("Paranoid", (ro("/usr"), rw("/c/para")), "ask"),
    Domain("Company", (ro("/usr"), rw("/c/comp")), "auto"),
]


def named(found: Graph) -> dict[str, list[tuple[str, str, bool]]]:
    """name: [(path that leads on, name that it leads to, is it asked)]"""
    names = {node.mask: node.name for node in found.nodes}
    return {
        node.name: [(move.request.path, names[move.mask], move.asked) for move in node.moves]
        for node in found.nodes
    }


def test_from_the_intersection_to_each_client_and_no_further() -> None:
    found = graph(Index(CLIENTS))
    assert named(found) == {
        "OpenBar∩Paranoid∩Company": [
            ("/c/comp", "Company", True),
            ("/c/open", "OpenBar", True),
            ("/c/para", "Paranoid", True),
        ],
        "OpenBar": [],
        "Paranoid": [],
        "Company": [],
    }
    assert [node.name for node in found.nodes if node.start] == ["OpenBar∩Paranoid∩Company"]
    assert found.shared.pieces == {"/usr": ro("/usr").perms}


def test_writing_may_leave_fewer_than_reading_and_a_deny_fewer_still() -> None:
    index = Index(
        [
            Domain("look", (ro("/w"),)),
            Domain("work", (rw("/w"),)),
            Domain("shy", (rw("/w"), rw("/w/x")), deny=(Pattern("/w/x"),)),
        ]
    )
    found = named(graph(index))
    assert ("/w", "work∩shy", False) in found["look∩work∩shy"]
    assert ("/w/x", "look∩work", False) in found["look∩work∩shy"]
    assert "shy" not in found  # where shy alone is left, work is as well


def test_a_pods_moves_are_what_its_policy_would_decide() -> None:
    own = Domain("own", (ro("/usr"),), "auto", deny=(Pattern("/secret"),))
    wide = Domain("wide", (ro("/usr"), rw("/c"), rw("/secret")), deny=own.deny)
    state = start_as(Index([wide]), own)
    assert [(m.request.path, m.asked) for m in moves(state)] == [("/c", False)]
    shy = Domain("shy", wide.accesses, deny=(Pattern("/usr/x"),))
    assert moves(start_as(Index([shy]), own)) == []  # it hides some of what own shows
    asking = start_as(Index([Domain("wide", (ro("/usr"), rw("/c")))]), Domain("own", (ro("/usr"),)))
    assert [move.asked for move in moves(asking)] == [True]


@given(p.lists_of_domains())
def test_every_move_is_one_and_every_transition_leads_to_a_node(each: list[Domain]) -> None:
    index = Index(each)
    found = graph(index)
    known = {node.mask for node in found.nodes}
    for node in found.nodes:
        state = State(index, node.mask)
        for request, mask, asked in node.moves:
            after, decision = step(state, request, approved=True)
            assert after.candidates == mask
            assert decision.to
            assert (step(state, request)[1].verdict == "ask") == asked
            assert mask in known
        for domain in each:
            for access in domain.accesses:
                for mode in p.MODES:
                    after, _ = step(state, Request(access.path, mode), approved=True)
                    assert after.candidates in known
    for access in (access for domain in each for access in domain.accesses):
        began = start(index, Request(access.path))
        assert began is None or began.candidates in known


def test_exponentially_many_are_cut_off_and_that_is_said() -> None:
    # each path is all but one domain's: every set of domains is an intersection
    each = [
        Domain(f"d{n}", tuple(ro(f"/p{other}") for other in range(14) if other != n))
        for n in range(14)
    ]
    found = graph(Index(each), limit=50)
    assert (len(found.nodes), found.more) == (50, True)
    wire = to_wire(found, Index(each))
    assert wire["more"]
    assert any(move["to"] is None for node in wire["nodes"] for move in node["moves"])
    whole = graph(Index(each[:4]), limit=50)
    assert not whole.more


def test_on_the_wire_it_is_plain_bounded_and_says_where_a_pod_is() -> None:
    many = Domain("many", tuple(ro(f"/m/{n}") for n in range(MAX_ACCESSES + 5)))
    odd = Domain("odd", (Access("/m/\udcff", 1, Where("f", 2)), ro("/m/1")))
    index = Index([many, odd])
    wire = json.loads(json.dumps(to_wire(graph(index), index, here=1)))
    nodes = {node["name"]: node for node in wire["nodes"]}
    assert wire["nodes"][wire["here"]]["name"] == "many"
    assert (len(nodes["many"]["accesses"]), nodes["many"]["left_out"]) == (MAX_ACCESSES, 4)
    assert nodes["odd"]["accesses"][0]["path_b64"]
    assert [move["direct"] for move in nodes["many∩odd"]["moves"]] == [True, True]


def test_without_domains_there_is_nothing() -> None:
    assert to_wire(graph(Index()), Index()) == {
        "nodes": [], "shared": [], "more": False, "here": None
    }  # fmt: skip
