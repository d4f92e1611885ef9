"""requests, allow, deny, why at the portal: each goes to the monitor that holds the request."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any

import pytest

from podsh.errors import Disconnected, PodshError, TimedOut, UsageError
from podsh.portal import decisions
from podsh.portal.decisions import Decisions
from podsh.portal.pods import RUNNING, Pod

if TYPE_CHECKING:
    from tests.helpers.world import World

ROW = {"id": 7, "pod": "web", "op": "write", "path": "/h/a/f", "state": "waiting"}


class Fleet:
    """Answers as monitors would; ``orders`` is what they were told."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.pods = {name: Pod(name, "base", "/s", "/r") for name in rows}
        self.asked: dict[int, str] = {}
        for name, pod in self.pods.items():
            pod.state = RUNNING
            pod.requests = {row["id"] for row in rows[name] if row["state"] == "waiting"}
            self.asked |= {row["id"]: name for row in rows[name]}
        self.orders: list[dict[str, Any]] = []
        self.held = True

    def get(self, name: str) -> Pod:
        return self.pods[name]

    async def ask(self, name: str, op: str, **fields: Any) -> dict[str, Any]:
        if op == "requests":
            return {"requests": self.rows[name], "held": self.held}
        self.orders.append({"pod": name, "op": op, **fields})
        if op in ("allow", "deny") and fields["request"] == 8:
            raise UsageError("request 8: gone already")
        return {**fields, "verdict": "deny"}


def at(fleet: Fleet, world: World) -> Decisions:
    return Decisions(fleet, world.library, world.domains)  # type: ignore[arg-type]


def answer(fleet: Fleet, world: World, op: str, **message: Any) -> dict[str, Any]:
    found: dict[str, Any] = asyncio.run(getattr(at(fleet, world), op)(message))
    return found


def row(ident: int, **fields: Any) -> dict[str, Any]:
    return {**ROW, "id": ident, **fields}


def test_the_waiting_ones_of_all_pods_the_oldest_first(world: World) -> None:
    fleet = Fleet(a=[row(9), row(3, state="denied")], b=[row(4)], c=[row(5, state="gone")])
    found = answer(fleet, world, "requests")["requests"]
    assert [each["id"] for each in found] == [4, 9]
    found = answer(fleet, world, "requests", all=True)["requests"]
    assert [each["id"] for each in found] == [3, 4, 5, 9]
    assert [r["id"] for r in answer(fleet, world, "requests", pod="a")["requests"]] == [9]


def test_a_pod_that_just_ends_has_none(world: World) -> None:
    fleet = Fleet(a=[row(7)], b=[row(8)])

    async def ask(name: str, op: str, **_: Any) -> dict[str, Any]:
        if name == "a":
            fleet.pods["a"].state = "exited"
            raise Disconnected("gone")
        return {"requests": fleet.rows[name]}

    fleet.ask = ask  # type: ignore[method-assign]
    assert [each["id"] for each in answer(fleet, world, "requests")["requests"]] == [8]


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({}, {"path": "/h/a/f", "mode": "write", "scope": "once"}),
        ({"scope": "pod"}, {"path": "/h/a/f", "mode": "write", "scope": "pod"}),
        ({"read": True}, {"path": "/h/a/f", "mode": "read", "scope": "once"}),
        ({"mode": "read"}, {"path": "/h/a/f", "mode": "read", "scope": "once"}),
        ({"dir": "/h/a"}, {"path": "/h/a", "mode": "write", "scope": "once"}),
        ({"if": "write /h/a/f"}, {"path": "/h/a/f", "mode": "write", "scope": "once"}),
    ],
    ids=str,
)
def test_allow_goes_to_the_monitor_that_asked(
    world: World, fields: dict[str, Any], order: dict[str, Any]
) -> None:
    fleet = Fleet(other=[row(6)], web=[row(7)])
    assert answer(fleet, world, "allow", request=7, **fields).items() >= order.items()
    assert fleet.orders == [{"pod": "web", "op": "allow", "request": 7, **order}]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"request": 99}, "99: no such request"),
        ({"if": "read /h/a/f"}, "asks to write '/h/a/f'; nothing was approved"),
        ({"if": "write /h/a"}, "nothing was approved"),
        ({"dir": "/h/b"}, "is not below '/h/b'"),
        ({"mode": "connect"}, "asks to write, not to connect"),
        ({"scope": "ever"}, "no such scope"),
        ({"scope": "save", "profile": "nosuch"}, "no profile is called"),
    ],
    ids=str,
)
def test_what_is_not_what_was_asked_is_not_allowed(
    world: World, fields: dict[str, Any], reason: str
) -> None:
    fleet = Fleet(web=[row(7)])
    with pytest.raises(UsageError) as found:
        answer(fleet, world, "allow", **{"request": 7, **fields})
    assert reason in str(found.value)
    assert fleet.orders == []


def test_a_rule_is_saved_once_the_monitor_has_agreed(world: World) -> None:
    world.profile("dev.toml", 'extends = "base"\n')
    fleet = Fleet(web=[row(7, path="/srv/f")])
    assert answer(fleet, world, "save_targets", request=7) == {"targets": ["base"], "reason": ""}
    said = answer(fleet, world, "allow", request=7, scope="save", profile="dev")
    assert said["saved"] == f"{world.user}/dev.toml:4"
    assert fleet.orders[-1]["scope"] == "save"
    binds = {bind.path: bind.write for bind in world.load("dev").fs.bind}
    assert binds["/srv/f"] is True
    before = (world.user / "dev.toml").read_text()
    gone = Fleet(web=[row(8, path="/srv/g")])
    with pytest.raises(UsageError, match="gone already"):
        answer(gone, world, "allow", request=8, scope="save", profile="dev")
    assert (world.user / "dev.toml").read_text() == before


def test_reading_is_never_widened_to_writing(world: World) -> None:
    fleet = Fleet(web=[row(7, op="read")])
    with pytest.raises(UsageError, match="asks to read, not to write"):
        answer(fleet, world, "allow", request=7, mode="write")


def test_a_link_to_a_directory_is_followed_before_it_is_granted(world: World) -> None:
    (world.project / "link").symlink_to(world.root / "other")
    fleet = Fleet(web=[row(7, path=f"{world.root}/other/f")])
    answer(fleet, world, "allow", request=7, dir=f"{world.project}/link")
    assert fleet.orders[0]["path"] == f"{world.root}/other"


def test_a_path_that_is_not_utf8_is_granted_as_its_bytes(world: World) -> None:
    raw = b"/h/\xff/f"
    shown = row(7, path="/h/\ufffd/f", path_b64=base64.b64encode(raw).decode())
    fleet = Fleet(web=[shown])
    answer(fleet, world, "allow", request=7, **{"if": "write /h/\ufffd/f"})
    assert fleet.orders[0]["path"] == os.fsdecode(raw)


def test_what_is_saved_is_checked_first_allowed_then_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(web=[row(7)])
    steps: list[Any] = []

    def save_rule(*given: Any) -> Any:
        steps.append(given[3:])
        return lambda: f"dev.toml:{len(fleet.orders)}"

    monkeypatch.setattr(decisions, "save_rule", save_rule)
    found = answer(fleet, world, "allow", request=7, scope="save", dir="/h/a", profile="dev")
    assert steps == [("/h/a", "write", "dev")]
    assert found["saved"] == "dev.toml:1"  # the monitor had said yes


def test_deny_one_or_all_of_a_pod(world: World) -> None:
    fleet = Fleet(web=[row(7), row(8), row(9), row(5, state="allowed")], b=[row(3)])
    answer(fleet, world, "deny", request=7, always=True)
    assert fleet.orders == [{"pod": "web", "op": "deny", "request": 7, "always": True}]
    fleet.orders.clear()
    answer(fleet, world, "deny", pod="web")  # 8 is gone meanwhile
    assert [order["request"] for order in fleet.orders] == [7, 8, 9]
    with pytest.raises(UsageError, match="4: no such request"):
        answer(fleet, world, "deny", request=4)


def test_why_asks_the_pods_monitor_about_the_object(world: World) -> None:
    fleet = Fleet(web=[])
    found = answer(fleet, world, "why", name="web", path=f"{world.root}/sbin/tool")
    assert fleet.orders[0] == {
        "pod": "web", "op": "why", "path": str(world.tool), "mode": "read"
    }  # fmt: skip
    assert (found["verdict"], found["asked"]) == ("deny", f"{world.root}/sbin/tool")


def test_why_of_a_profile_needs_no_pod(world: World) -> None:
    path = world.client("one")
    environ = {"HOME": str(world.home)}
    about = {"profiles": ["one"], "cwd": "/", "environ": environ}
    found = answer(Fleet(), world, "why", path=f"{path}/new", write=True, **about)
    assert found["verdict"] == "allowed"
    assert found["rule"]["line"] == 3
    assert found["change"]["do"] == "add"
    found = answer(Fleet(), world, "why", path=f"{world.home}/.ssh/id", **about)
    assert (found["verdict"], found["rule"]["key"]) == ("deny", "access.deny")
    assert found["change"]["at"] == 4
    found = answer(Fleet(), world, "why", path="/srv/x", **about)
    assert (found["verdict"], found["domain"], found["exists"]) == ("ask", "one", False)


def _changed(_: str) -> asyncio.Future[None]:
    return asyncio.ensure_future(asyncio.sleep(0.01))


def test_waiting_for_a_request(world: World) -> None:
    fleet = Fleet(web=[row(9), row(8), row(3, state="denied")])
    fleet.change = _changed  # type: ignore[attr-defined]
    assert answer(fleet, world, "wait", name="web") == {"request": 8}
    quiet = Fleet(web=[])
    quiet.change = _changed  # type: ignore[attr-defined]
    with pytest.raises(TimedOut):
        answer(quiet, world, "wait", name="web", timeout_s=0.05)
    quiet.held = False
    with pytest.raises(UsageError, match="denied at once; start it with: run --ask hold"):
        answer(quiet, world, "wait", name="web")
    quiet.pods["web"].state = "exited"
    with pytest.raises(PodshError, match="has ended"):
        answer(quiet, world, "wait", name="web")
