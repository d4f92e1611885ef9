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
