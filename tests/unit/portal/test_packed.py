"""What launches have in common is made once, and sent again to who asks for the same."""

from __future__ import annotations

import dataclasses
import marshal
import os
from typing import TYPE_CHECKING

from podsh.monitor.launch import of_pod
from podsh.operations import JailPlan
from podsh.portal import launch
from podsh.portal.displays import Found
from podsh.portal.habit import Habit
from podsh.portal.packed import Likewise, Packed

if TYPE_CHECKING:
    from podsh.profiles.schema import Profile
    from tests.helpers.world import World


def planned(
    world: World, name: str, **asked: object
) -> tuple[dict[str, object], Profile, JailPlan, JailPlan | None]:
    message = {"id": 7, "argv": ["tool"], "cwd": "/", "environ": {"HOME": str(world.home)}} | asked
    profile = world.start("tool").profile
    ctx = launch.context(message)
    plan = launch.plan(message, profile, name, ctx, Found())
    return message, profile, plan, launch.common(message, profile, ctx, plan)


def test_what_is_sent_for_any_pod_is_what_one_would_have_been_sent(world: World) -> None:
    _, _, plan, common = planned(world, "one")
    assert common is not None
    sent = Packed(common, relative=True).sent("one", Habit())
    rows = of_pod(marshal.loads(sent["ops"]), launch.state_dir("one"))
    assert JailPlan.from_wire({**sent["plan"], "ops": rows}) == plan
    assert any(launch.state_dir("one") in str(row) for row in rows)
    rests = {at: marshal.loads(rest) for at, rest in sent["rests"].items()}
    assert all(row in marshal.loads(sent["ops"]) for row in rests[0])


def test_a_pod_that_has_more_of_its_own_is_not_any_pod(world: World) -> None:
    message, profile, plan, _ = planned(world, "one")
    ctx = launch.context(message)
    other = dataclasses.replace(plan, notes=("of this one",))
    assert launch.common(message, profile, ctx, other) is None


def test_only_who_asks_for_the_same_by_the_same_profile_gets_it(world: World) -> None:
    message, profile, plan, _ = planned(world, "one")
    likewise, packed = Likewise(), Packed(plan, relative=False)
    likewise.keep(message, profile, packed)
    assert likewise.find(message | {"id": 8}, profile) is packed
    assert likewise.find(message | {"argv": ["tool", "x"]}, profile) is None
    assert likewise.find(message | {"rw": [os.sep]}, profile) is None
    assert likewise.find(message, dataclasses.replace(profile)) is None


def test_a_new_habit_is_met(world: World) -> None:
    _, _, _, common = planned(world, "one")
    assert common is not None
    habit, packed = Habit(), Packed(common, relative=True)
    assert set(packed.sent("one", habit)["rests"]) == {0}
    assert habit.number == 1
    assert set(packed.sent("two", habit)["rests"]) == {0, 1}
