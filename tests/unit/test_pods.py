"""The life of a pod as the portal sees it."""

from __future__ import annotations

import pytest

from podsh.portal.pods import BUILDING, ENDED, EXITED, RUNNING, TRANSITIONS, Pod

READY = {
    "ev": "ready",
    "state": "ready",
    "pid": 0,
    "init_pid": 7,
    "monitor_pid": 6,
    "profile": "base",
    "argv": ["true"],
    "started": 1.0,
    "attached": False,
}
START = {"ev": "start", "pid": 9, "argv": ["true"]}


def pod() -> Pod:
    return Pod("web", "base", "/state/web", "/run/web")


def test_from_building_to_exit() -> None:
    web = pod()
    assert web.apply(READY)
    assert web.apply(START)
    assert (web.state, web.pid) == (RUNNING, 9)
    assert web.apply({"ev": "exit", "code": 143, "signal": 15})
    assert (web.state, web.exit, web.signal, web.pid) == (EXITED, 143, 15, 0)
    assert web.row()["socket"] is None


def test_what_cannot_happen_raises_and_changes_nothing() -> None:
    web = pod()
    with pytest.raises(ValueError, match="event exit in state building"):
        web.apply({"ev": "exit", "code": 0})
    assert web.state == BUILDING
    assert web.exit is None


def test_every_end_is_final_and_every_other_state_can_be_lost() -> None:
    for state, moves in TRANSITIONS.items():
        assert (state in ENDED) == (not moves)
        if moves:
            assert moves["lost"] == "lost"


def test_looking_on_is_no_change_of_state() -> None:
    web = pod()
    web.apply(READY)
    web.apply(START)
    assert not web.apply({"ev": "attached"})
    assert web.attached
    web.apply({"ev": "exit", "code": 0, "signal": None})
    assert not web.attached


def test_requests_that_wait_are_counted_until_they_are_decided_or_gone() -> None:
    web = pod()
    web.apply(READY)
    for number in (7, 8, 9, 10):
        web.apply({"ev": "request", "id": number, "path": "/x", "mode": "read"})
    web.apply({"ev": "merged", "id": 7, "count": 2})
    web.apply({"ev": "note", "text": "16 wait"})
    assert web.row()["waiting"] == 4
    web.apply({"ev": "grant", "id": 7, "path": "/x", "mode": "read", "scope": "once"})
    web.apply({"ev": "grant", "path": "/y", "mode": "read", "scope": "mount"})
    web.apply({"ev": "denial", "id": 8, "path": "/x", "mode": "read"})
    web.apply({"ev": "denial", "path": "/z", "mode": "read"})
    web.apply({"ev": "gone", "id": 9})
    assert web.requests == {10}
    web.apply({"ev": "failed"})
    assert web.row()["waiting"] == 0


def test_the_domain_follows_transitions_and_the_profile_stays() -> None:
    web = pod()
    web.apply(READY | {"profile": "A∩B"})
    assert web.row()["domain"] == "A∩B"
    web.apply({"ev": "transition", "old": "A∩B", "new": "A", "path": "/a", "mode": "read"})
    assert (web.row()["profile"], web.row()["domain"]) == ("A∩B", "A")


def test_an_adopted_pod_is_where_its_monitor_says() -> None:
    web = pod()
    web.take(READY | {"state": "running", "pid": 9, "domain": "A", "requests": [{"id": 3}]})
    assert (web.state, web.domain, web.requests) == (RUNNING, "A", {3})
