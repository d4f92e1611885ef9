"""What standbys do beforehand, from what the last pods began with."""

from __future__ import annotations

from podsh.operations import STANDARD, Bind, Dir, Hostname, Op, ops_to_wire
from podsh.portal.habit import RECENT, Habit, Row


def bind(path: str, *, write: bool = False) -> Bind:
    return Bind(path, None, write, True, False, False, True, "")


def rows(*ops: Op) -> list[Row]:
    return ops_to_wire((*STANDARD, Hostname("x"), *ops))


def test_begins_with_what_is_every_pods() -> None:
    habit = Habit()
    assert habit.rests(rows(bind("/usr"))) == {0: ops_to_wire((Hostname("x"), bind("/usr")))}
    assert habit.rests(ops_to_wire(STANDARD[1:])) == {}


def test_learns_what_is_usual_of_a_plan_and_keeps_the_one_before() -> None:
    habit = Habit()
    plan = rows(bind("/usr"), bind("/home/u", write=True))
    assert habit.learn(plan)
    assert not habit.learn(plan)
    particular = ops_to_wire((Hostname("x"), bind("/home/u", write=True)))
    assert habit.rests(plan)[1] == particular
    assert len(habit.rests(plan)[0]) == len(particular) + 1
    assert habit.rows == [*ops_to_wire(STANDARD), bind_row("/usr")]


def bind_row(path: str) -> Row:
    return ops_to_wire((bind(path),))[0]


def test_two_kinds_of_pods_share_a_habit_and_one_kind_gets_its_own_again() -> None:
    habit = Habit()
    one, two = rows(bind("/usr"), bind("/a")), rows(bind("/usr"), bind("/b"))
    habit.learn(one)
    habit.learn(two)
    assert bind_row("/usr") in habit.rows
    assert bind_row("/a") not in habit.rows
    assert habit.number in habit.rests(one)
    assert habit.number in habit.rests(two)
    assert [habit.learn(two) for _ in range(RECENT)] == [False, False, True, False]
    assert bind_row("/b") in habit.rows


def test_what_lies_at_or_below_what_comes_later_is_no_habit() -> None:
    habit = Habit()
    habit.learn(rows(bind("/etc", write=True), bind("/etc/hosts"), bind("/etcetera")))
    assert bind_row("/etc/hosts") not in habit.rows
    assert bind_row("/etcetera") in habit.rows
    habit.learn(rows(bind("/etc/hosts"), bind("/etcetera"), Dir("/etcetera/x")))
    assert bind_row("/etcetera") in habit.rows
    assert ops_to_wire((Dir("/etcetera/x"),))[0] not in habit.rows


def test_a_policy_has_another_number_only_when_it_is_another_one() -> None:
    habit = Habit()
    policy = {"own": b"a", "domains": b"d", "hidden": ["/h"], "unattended": "deny"}
    assert [habit.decides(policy), habit.decides({**policy, "unattended": "hold"})] == [True, False]
    assert habit.decides({**policy, "domains": b""})
    assert habit.policy_number == 2
    assert habit.policy == {"own": b"a", "domains": b"", "hidden": ["/h"]}
