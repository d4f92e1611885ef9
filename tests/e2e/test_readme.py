"""The README's tour, typed as printed by somebody who has just come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.helpers import tour
from tests.helpers.install import ROOT
from tests.helpers.tmux import Tmux

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh

# enough for the longest line, and for all of a step
ROWS, COLS = 60, 150


def test_tour(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    podsh.directory("home/.ssh")
    env = {**podsh.env, "PATH": f"{podsh.command.parent}:{podsh.env['PATH']}"}
    # what else is open to everybody below the test's directory is not the newcomer's
    argv = ("bash", "--norc", "--noprofile")
    with Tmux(argv, podsh.caller, env, str(podsh.home), podsh.base, ROWS, COLS) as t:
        t.type("PS1='$ '; PS2='> '; clear; tmux clear-history")
        t.keys("Enter")
        t.wait(r"\A\$\n\n")
        person = tour.Person(t, podsh)
        person.prompt("$")
        steps = tour.steps(ROOT / "README.md", "Five minutes", "Profiles")
        assert len(steps) > 30
        for step, after in zip(steps, [*steps[1:], tour.Step("$", "", [])], strict=True):
            person.type(step.typed)
            expected = [tour.kinds(line, podsh) for line in step.prints]
            if "podsh>" in (step.prompt, after.prompt):
                in_console(person, expected, podsh)
            printed = [tour.kinds(line, podsh) for line in person.prompt(after.prompt)]
            if step.prompt == after.prompt == "$":
                assert tour.matches(expected, printed), f"{step.typed}\n" + "\n".join(printed)


def in_console(person: tour.Person, expected: list[str], podsh: Podsh) -> None:
    """Answers and events come each when it is due: wait until all have."""
    end = time.monotonic() + 30
    while True:
        new = [tour.kinds(line, podsh) for line in person.lines()[person.seen :]]
        if all(new.count(line) >= expected.count(line) for line in expected):
            return
        assert time.monotonic() < end, "\n".join(["expected:", *expected, "printed:", *new])
        time.sleep(0.05)
