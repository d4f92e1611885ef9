"""What is kept of what happened, and who is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from podsh.errors import UsageError
from podsh.portal import journal, records
from podsh.portal.journal import Journal, Wanted
from podsh.wire.framing import Decoder

if TYPE_CHECKING:
    from pathlib import Path

ALL = Wanted()


class Follower:
    """Takes what a channel would send; slow: takes nothing."""

    def __init__(self, slow: bool = False) -> None:
        self.slow = slow
        self.queued = 0
        self.closed = False
        self.events: list[dict[str, Any]] = []
        self._decoder = Decoder()

    def write(self, frame: bytes) -> None:
        if self.slow:
            self.queued += len(frame)
        else:
            self.events += [event for _, event in self._decoder.feed(frame)]

    def close(self) -> None:
        self.closed = True


def event(kind: str = "note", pod: str = "web", ts: float = 1.0, **fields: Any) -> dict[str, Any]:
    return {"ev": kind, "pod": pod, "ts": ts, **fields}


@pytest.fixture
def kept() -> Journal:
    return Journal(lambda _: None)


def test_filters(kept: Journal) -> None:
    for at, (kind, pod) in enumerate([("start", "a"), ("grant", "a"), ("start", "b")]):
        kept.add(event(kind, pod, float(at)))

    def found(**message: Any) -> list[float]:
        last = message.pop("last", None)
        return [each["ts"] for each in kept.past(Wanted.of(message), last)]

    assert found() == [0.0, 1.0, 2.0]
    assert found(pods=["a"]) == [0.0, 1.0]
    assert found(kinds=["start"]) == [0.0, 2.0]
    assert found(kinds=["start", "grant"], pods=["b", "a"], after=0.5) == [1.0, 2.0]
    assert found(last=1) == [2.0]
    assert found(last=0) == []
    assert found(pods=["c"]) == []
    assert kept.knows("a")
    assert not kept.knows("c")
    with pytest.raises(UsageError):
        Wanted.of({"after": "soon"})


def test_followers_get_what_they_want(kept: Journal) -> None:
    everything: Any = Follower()
    grants: Any = Follower()
    kept.follow(everything, ALL)
    kept.follow(grants, Wanted(kinds=frozenset(["grant"])))
    kept.add(event("start"))
    kept.add(event("grant"))
    assert [each["ev"] for each in everything.events] == ["start", "grant"]
    assert [each["ev"] for each in grants.events] == ["grant"]
    kept.leave(grants)
    kept.add(event("grant"))
    assert len(grants.events) == 1


def test_who_does_not_read_is_cut_off() -> None:
    slow: Any = Follower(slow=True)
    gone: list[Any] = []
    kept = Journal(gone.append)
    kept.follow(slow, ALL)
    while not gone:
        kept.add(event(text="x" * 100_000))
    assert slow.closed
    before = slow.queued
    kept.add(event())
    assert slow.queued == before


def test_a_flood_pushes_nothing_else_out(kept: Journal) -> None:
    kept.add(event("request", id=7))
    kept.add(event("start", "other"))
    for number in range(5000):
        kept.add(event("transition", ts=float(number)))
    assert [each["id"] for each in kept.past(Wanted(kinds=frozenset(["request"])))] == [7]
    moved = kept.past(Wanted(kinds=frozenset(["transition"])))
    assert [each["ts"] for each in moved] == [float(n) for n in range(4000, 5000)]
    assert kept.past(Wanted(frozenset(["other"])))


def test_all_of_it_is_bounded(kept: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", 100)
    for number in range(1000):
        kept.add(event("start", f"pod-{number}", float(number)))
    found = kept.past(ALL)
    assert 80 <= len(found) <= 100
    assert found[-1]["ts"] == 999.0
    assert found == sorted(found, key=lambda each: each["ts"])


def test_what_was_before_comes_before(kept: Journal) -> None:
    kept.add(event(ts=5.0))
    kept.add_past([event(ts=3.0), event("grant", ts=1.0), event(ts=2.0)])
    assert [each["ts"] for each in kept.past(ALL)] == [1.0, 2.0, 3.0, 5.0]


def test_what_pods_wrote_down(tmp_path: Path) -> None:
    lines = [event("grant", ts=4.0), event("note", ts=50.0), ["no event"], event("x", ts=None)]  # type: ignore[arg-type]  # as a file may have it
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"ev": "cut'
    (tmp_path / "audit.jsonl").write_text(text)
    (tmp_path / "meta.json").write_text(json.dumps({"started": 3.0, "argv": ["make"]}))
    ended = {"state": "exited", "exit": 2, "signal": None, "ts": 5.0}
    (tmp_path / "exit.json").write_text(json.dumps(ended))
    found = records.past([("web", str(tmp_path)), ("none", str(tmp_path / "none"))], 10.0)
    assert sorted((each["ts"], each["ev"], each["pod"]) for each in found) == [
        (3.0, "start", "web"), (4.0, "grant", "web"), (5.0, "exit", "web"),
    ]  # fmt: skip
