"""StemFlow's and StemJail's own cases, and each rule by example."""

from __future__ import annotations

import json

import pytest

from podsh.errors import UntrustedInput, UsageError
from podsh.policy import events
from podsh.policy.access import READ, WRITE, Access, Where, reach
from podsh.policy.domain import Domain, Index
from podsh.policy.engine import ALLOWED, give, step
from podsh.policy.patterns import Pattern
from podsh.policy.state import Request, Rule, State, start, start_as
from podsh.policy.why import why


def ro(path: str, line: int = 0) -> Access:
    return Access.of(path, where=Where("p.toml", line))


def rw(path: str, line: int = 0) -> Access:
    return Access.of(path, True, where=Where("p.toml", line))


def begun(index: Index, path: str, write: bool = False) -> State:
    state = start(index, Request(path, "write" if write else "read"))
    assert state
    return state


def test_stemflow_starts_in_the_intersection_narrows_and_stays() -> None:
    index = Index(
        [
            Domain("dom1", (rw("/a"), rw("/f/g"))),
            Domain("dom2", (rw("/a"), rw("/f/h"))),
            Domain("dom3", (rw("/a/b/c"), rw("/a/d"))),
            Domain("dom4", (rw("/a/e"),)),
        ]
    )
    state = begun(index, "/a/e/x", write=True)
    assert state.name == "dom1∩dom2∩dom4"
    assert state.effective() == reach([rw("/a/e")])
    state, decision = step(state, Request("/f/h", "write"))
    assert (decision.verdict, decision.to, state.name) == ("transition", "dom2", "dom2")
    assert [str(access) for access in decision.add] == ["write /a", "write /f/h"]
    same, decision = step(state, Request("/f/g", "write"))
    assert same is state
    assert decision.verdict == "ask"
    assert not decision.to


def test_stemflow_a_wider_read_only_entry_does_not_stop_a_write() -> None:
    index = Index([Domain("dom1", (rw("/foo"),)), Domain("dom2", (ro("/"), rw("/foo")))])
    assert begun(index, "/foo", write=True).names == ("dom1", "dom2")
    assert begun(index, "/bar").names == ("dom2",)
    assert start(index, Request("/bar", "write")) is None


def test_stemflow_containment_is_by_component() -> None:
    index = Index([Domain("dom", (ro("/a"),))])
    assert begun(index, "/a/a").names == ("dom",)
    assert start(index, Request("/aa")) is None


def test_three_clients_with_a_shared_base() -> None:
    """StemJail's example: a shell sees what all share; touching a client's directory decides."""
    base = (ro("/usr"), ro("/etc"))
    index = Index(
        [Domain(name, (*base, rw(f"/home/u/{name}"))) for name in ("North", "South", "Firm")]
    )
    state = begun(index, "/usr/bin/bash")
    assert state.name == "North∩South∩Firm"
    assert state.effective() == reach(base)
    assert step(state, Request("/etc/passwd")) == (state, ALLOWED)
    state, decision = step(state, Request("/home/u/South/bill"))
    assert decision.add == (Access.of("/home/u/South", True),)
    assert decision.rule == Rule("fs.bind", "South", "write /home/u/South", Where("p.toml"))
    for client in ("North", "Firm", "South-2"):
        assert step(state, Request(f"/home/u/{client}"))[1].verdict == "ask"
    assert step(state, Request("/home/u/South", "write")) == (state, ALLOWED)


def test_open_bar_contains_all_and_paranoid_is_only_left() -> None:
    index = Index(
        [
            Domain("OpenBar", (rw("/"),)),
            Domain("Company", (ro("/usr"), rw("/srv/company"))),
            Domain("Paranoid", (ro("/usr"),), unlisted="deny"),
        ]
    )
    state = begun(index, "/usr/bin/sh")
    assert state.effective() == reach([ro("/usr")])
    company, decision = step(state, Request("/srv/company/x", "write"))
    assert company.name == "OpenBar∩Company"
    assert decision.add == (Access.of("/srv/company", True),)
    open_bar, decision = step(company, Request("/usr/x", "write"))
    assert open_bar.name == "OpenBar"
    # one entry that covers all; what was mounted below it is the same in it
    assert decision.add == (Access.of("/", True),)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ([rw("/a")], [rw("/a/e"), ro("/a")], [rw("/a/e"), ro("/a")]),
        ([rw("/a")], [ro("/")], [ro("/a")]),
        ([ro("/a")], [ro("/aa")], []),
        ([ro("/a"), rw("/b")], [rw("/")], [ro("/a"), rw("/b")]),
        ([rw("/a"), ro("/a/b")], [rw("/a/b/c"), rw("/a/d")], [ro("/a/b/c"), rw("/a/d")]),
        ([ro("/a"), rw("/a/b")], [rw("/a"), ro("/a/b")], [ro("/a")]),
        ([Access.of("/a", exec=False)], [rw("/a")], [Access.of("/a", exec=False)]),
        ([Access.of("/a", suid=True, dev=True)], [Access.of("/a", suid=True)], [])
    ],
    ids=str,
)  # fmt: skip
def test_the_intersection(one: list[Access], other: list[Access], both: list[Access]) -> None:
    if not both and one[0].path == other[0].path:
        both = [Access.of("/a", suid=True)]
    index = Index([Domain("one", tuple(one)), Domain("other", tuple(other))])
    assert index.meet(3) == reach(both)


def test_within_a_domain_the_deepest_decides() -> None:
    """As with the mounts that these become: a read-only bind in a writable one protects."""
    index = Index([Domain("dev", (rw("/src"), ro("/src/.git")))])
    assert begun(index, "/src/x", write=True)
    assert start(index, Request("/src/.git/config", "write")) is None
    # for one path twice, the wider mode, and the stricter flags
    twice = reach([ro("/a"), Access.of("/a", True, exec=False)])
    assert twice.at("/a") == READ | WRITE


def test_an_exception_below_what_is_added_is_added_after_it() -> None:
    index = Index([Domain("a", (ro("/bin"),)), Domain("b", (ro("/bin"), rw("/s"), ro("/s/g")))])
    _, decision = step(begun(index, "/bin/sh"), Request("/s", "write"))
    assert [str(access) for access in decision.add] == ["write /s", "read /s/g"]


DENY = Pattern("/h/.ssh*", Where("base.toml", 12))


def test_deny_wins_over_what_shows_it_and_what_asks() -> None:
    own = Domain("own", (rw("/h"),), deny=(DENY,), ask=(Pattern("/"),))
    state = start_as(Index([Domain("wide", (rw("/"),))]), own)
    for path in ("/h/.ssh", "/h/.ssh2/id"):
        same, decision = step(state, Request(path), approved=True)
        assert same is state
        assert decision == ("deny", Rule("access.deny", "own", "/h/.ssh*", DENY.where), "", ())
    # that holds after a move as well, and a sibling is not meant
    state, decision = step(state, Request("/etc"), approved=True)
    assert state.name == "wide"
    assert step(state, Request("/h/.ssh"))[1].verdict == "deny"
    assert step(state, Request("/h/x.ssh")) == (state, ALLOWED)


def test_a_domain_that_denies_is_left_for_one_that_does_not() -> None:
    index = Index(
        [Domain("a", (ro("/"),), deny=(Pattern("/c/2"),)), Domain("b", (ro("/bin"), ro("/c/2")))]
    )
    state = begun(index, "/bin/sh")
    assert state.hiding() == ["/c/2"]
    state, decision = step(state, Request("/c/2/x"))
    assert (state.name, decision.verdict) == ("b", "transition")
    assert state.hiding() == []
    # nobody left who shows it: the rule is named
    state, _ = step(begun(index, "/bin/sh"), Request("/etc"))
    assert state.name == "a"
    assert step(state, Request("/c/2"))[1].rule == Rule("access.deny", "a", "/c/2", Where())


def test_podshs_own_is_denied_to_all_and_never_granted() -> None:
    state = start(Index([Domain("all", (rw("/"),))]), Request("/bin/sh"), ["/run/podsh"])
    assert state
    _, decision = step(state, Request("/run/podsh/sock"))
    assert (decision.verdict, decision.rule) == ("deny", Rule("hidden", text="/run/podsh"))
    with pytest.raises(UsageError, match="podsh's own"):
        give(state, rw("/run/podsh/x"))
    assert why(state, "/run/podsh").change is None
    assert give(state, rw("/run")).visible("/run/podsh") == 0


@pytest.mark.parametrize(
    ("said", "verdict"), [("auto", "transition"), ("ask", "ask"), (None, "ask")]
)
def test_a_pod_by_profile_moves_by_itself_only_if_that_says_so(said: str, verdict: str) -> None:
    own = Domain("own", (ro("/a"),), transition=said)  # type: ignore[arg-type]
    state = start_as(Index([Domain("wide", (ro("/a"), ro("/b")))]), own)
    moved, decision = step(state, Request("/b"))
    assert (decision.verdict, decision.to) == (verdict, "wide")
    assert decision.add == (Access.of("/b"),)
    assert (moved.name == "wide") == (verdict == "transition")
    assert step(state, Request("/b"), approved=True)[0].name == "wide"


def test_a_pod_by_command_is_asked_where_a_candidate_says_ask() -> None:
    a, b = Domain("a", (ro("/bin"), ro("/a"))), Domain("b", (ro("/bin"),), transition="ask")
    assert step(begun(Index([a, b]), "/bin/sh"), Request("/a"))[1].verdict == "ask"


@pytest.mark.parametrize(
    ("unlisted", "path", "verdict", "key"),
    [
        (None, "/x", "ask", "access.unlisted"),
        ("ask", "/x", "ask", "access.unlisted"),
        ("deny", "/x", "deny", "access.unlisted"),
        ("deny", "/q/x", "ask", "access.ask"),
        ("ask", "/q/n/x", "deny", "access.deny"),
    ],
)
def test_what_no_candidate_allows(unlisted: str, path: str, verdict: str, key: str) -> None:
    own = Domain(
        "own",
        (ro("/bin"),),
        unlisted=unlisted,  # type: ignore[arg-type]
        ask=(Pattern("/q"),),
        deny=(Pattern("/*/n"),),
    )
    for state in (start_as(Index(), own), begun(Index([own]), "/bin/sh")):
        _, decision = step(state, Request(path))
        assert decision.rule
        assert (decision.verdict, decision.rule.key) == (verdict, key)


def test_other_candidates_rules_do_not_count_while_it_is_its_own_profile() -> None:
    own = Domain("own", (ro("/bin"),))
    other = Domain("other", (ro("/bin"), ro("/o")), unlisted="deny", deny=(Pattern("/x"),))
    state = start_as(Index([other]), own)
    assert state.names == ("other", "own")
    assert step(state, Request("/x"))[1].verdict == "ask"
    # granted all the same; then the other would hide it, and is no longer ahead
    state = give(state, ro("/x/y"))
    assert state.names == ("own",)
    assert step(state, Request("/x/y/z")) == (state, ALLOWED)


def test_what_its_own_profile_says_holds_after_a_move() -> None:
    own = Domain("own", (ro("/bin"),), transition="auto", unlisted="deny", ask=(Pattern("/q"),))
    state = start_as(Index([Domain("wide", (ro("/bin"), ro("/o")))]), own)
    state, _ = step(state, Request("/o"))
    assert state.name == "wide"
    assert step(state, Request("/x"))[1].verdict == "deny"
    assert step(state, Request("/q"))[1].verdict == "ask"


def test_only_supersets_are_ahead() -> None:
    own = Domain("own", (rw("/a"), ro("/b")), deny=(Pattern("/b/x"), Pattern("/b/?")))
    index = Index(
        [
            Domain("same", (rw("/a"), ro("/b"))),
            Domain("wider", (rw("/"),)),
            Domain("read-only", (ro("/a"), ro("/b"))),
            Domain("hole", (rw("/"), ro("/a/deep/below"))),
            Domain("noexec", (Access.of("/", True, exec=False),)),
            Domain("hides", (rw("/"),), deny=(Pattern("/a/*"),)),
            Domain("hides more than one letter", (rw("/"),), deny=(Pattern("/b/*"),)),
            Domain("hides what is hidden", (rw("/"),), deny=(Pattern("/b/x/y"), Pattern("/c"))),
        ]
    )
    index.add(Domain("not loaded", (rw("/"),)), loaded=False)
    assert start_as(index, own).names == ("same", "wider", "hides what is hidden", "own")


def test_a_read_only_entry_between_is_no_superset() -> None:
    index = Index([Domain("between", (rw("/"), ro("/a"))), Domain("again", (ro("/a"), rw("/a/b")))])
    assert start_as(index, Domain("own", (rw("/a/b/c"),))).names == ("again", "own")


def test_grants_stand_apart() -> None:
    state = begun(Index([Domain("a", (ro("/usr"),))]), "/usr/bin/sh")
    state = give(state, rw("/h/f"))
    assert step(state, Request("/h/f", "write")) == (state, ALLOWED)
    assert step(state, Request("/h"))[1].verdict == "ask"
    # a wider one over it keeps what is below; the same again adds nothing
    wider = give(state, ro("/h"))
    assert step(wider, Request("/h/x")) == (wider, ALLOWED)
    assert step(wider, Request("/h/x", "write"))[1].verdict == "ask"
    assert step(wider, Request("/h/f", "write")) == (wider, ALLOWED)
    assert give(wider, ro("/h")).effective() == wider.effective()


def test_what_a_rule_denies_is_not_granted() -> None:
    state = begun(Index([Domain("a", (ro("/usr"),), deny=(DENY,))]), "/usr/bin/sh")
    with pytest.raises(UsageError, match=r"^base.toml:12: profile 'a' denies '/h/.ssh\*'; take"):
        give(state, ro("/h/.ssh/id"))


def test_connecting_is_granted_by_a_person_only() -> None:
    state = begun(Index([Domain("a", (rw("/"),))]), "/bin/sh")
    socket = Request("/run/bus", "connect")
    assert step(state, socket)[1].verdict == "ask"
    state = give(state, Access("/run/bus", READ | 32))
    assert step(state, socket) == (state, ALLOWED)
    with pytest.raises(UsageError, match="a person's"):
        Index([Domain("x", (Access("/a", READ | 32),))])


@pytest.mark.parametrize("path", ["", "a", "/a/", "//a", "/a/../b", "/.", "/a//b", "./a"])
def test_a_path_that_is_not_normal_is_the_jails_fault_or_the_callers(path: str) -> None:
    state = begun(Index([Domain("a", (rw("/"),))]), "/bin/sh")
    with pytest.raises(UntrustedInput):
        step(state, Request(path))
    with pytest.raises(UsageError):
        give(state, Access(path))
    with pytest.raises(UsageError):
        Index([Domain("x", (Access(path),))])


def test_names() -> None:
    index = Index([Domain(name, (ro("/bin"),)) for name in "abcdef"])
    assert begun(index, "/bin").name == "a∩b∩c∩d∩2 more"
    assert index.add(index.domains[1]) == 2
    with pytest.raises(UsageError, match="two profiles are called 'b'"):
        index.add(Domain("b", ()))
    assert len(index.domains) == 6
    # one that is not loaded is nobody else's candidate
    index.add(Domain("g", (ro("/bin"),)), loaded=False)
    assert len(begun(index, "/bin").names) == 6


def _pod(**given: object) -> State:
    mine = Access.of("/m", where=Where("own.toml", 7))
    own = Domain("own", (ro("/usr", 3), ro("/w", 4), mine), file="own.toml", **given)  # type: ignore[arg-type]
    return start_as(Index(), own)


@pytest.mark.parametrize(
    ("path", "mode", "verdict", "change"),
    [
        ("/usr/x", "read", "allowed", 'own.toml: add [access] deny = ["/usr/x"]'),
        ("/q", "read", "ask", 'own.toml: add [fs] bind = [{ path = "/q" }]'),
        ("/q", "write", "ask", 'own.toml: add [fs] bind = [{ path = "/q", write = true }]'),
        ("/m", "write", "ask", 'own.toml:7: replace { path = "/m", write = true }'),
        # what it extends is not its own to change
        ("/w", "write", "ask", 'own.toml: add [fs] bind = [{ path = "/w", write = true }]'),
        ("/h/.ssh2/id", "read", "deny", 'base.toml:12: take out "/h/.ssh*"'),
        ("/s", "connect", "ask", "run mount POD /s"),
    ],
)
def test_why_says_what_would_turn_it(path: str, mode: str, verdict: str, change: str) -> None:
    found = why(_pod(deny=(DENY,)), path, mode)  # type: ignore[arg-type]
    assert (found.verdict, str(found.change)) == (verdict, change)


def test_the_changes_that_why_names_do_turn_it() -> None:
    assert step(_pod(deny=(Pattern("/usr/x"),)), Request("/usr/x"))[1].verdict == "deny"
    assert step(_pod(), Request("/h/.ssh2/id"))[1].verdict == "ask"


def test_why_of_a_grant_and_of_a_transition() -> None:
    state = give(_pod(), rw("/g"))
    found = why(state, "/g/x", pod="web")
    assert (found.verdict, str(found.change)) == ("allowed", "run revoke web /g")
    index = Index([Domain("a", (ro("/bin"), rw("/a", 7))), Domain("b", (ro("/bin"),))])
    found = why(begun(index, "/bin/sh"), "/a/x", "write")
    assert found.text == "moves to 'a'"
    assert found.rule == Rule("fs.bind", "a", "write /a", Where("p.toml", 7))


def test_events_are_json() -> None:
    moved = events.Transition(
        pod="web", ts=1.5, pid=7, old="a∩b", new="b", path="/b/\udcff", mode="read",
        add=(ro("/b"),), rule=Rule("fs.bind", "b", "read /b", Where("b.toml", 3)),
    )  # fmt: skip
    assert json.loads(json.dumps(moved.to_wire())) == {
        "v": 1,
        "ts": 1.5,
        "ev": "transition",
        "pod": "web",
        "pid": 7,
        "old": "a∩b",
        "new": "b",
        "path": "/b/\ufffd",
        "path_b64": "L2Iv/w==",
        "mode": "read",
        "add": [{"path": "/b", "mode": "read"}],
        "rule": {
            "key": "fs.bind", "domain": "b", "text": "read /b", "file": "b.toml", "line": 3
        },
    }  # fmt: skip
    common = {"pod": "web", "ts": 0.0}
    for event in (
        events.Asked(id=1, path="/x", mode="write", argv=("\udcff",), **common),
        events.Granted(path="/x", mode="write", scope="once", id=1, **common),
        events.Revoked(path="/x", **common),
        events.Denied(path="/\ud800", mode="read", **common),
    ):
        wire = event.to_wire()
        json.dumps(wire, ensure_ascii=False).encode()
        assert wire["ev"] == event.ev
        assert wire.get("id", 1) == 1
