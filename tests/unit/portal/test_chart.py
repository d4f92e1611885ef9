"""The portal's map: a pod's place is found again from the names that its monitor gives."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING, Any

from podsh.portal import chart, processes
from podsh.portal.pods import Pod

if TYPE_CHECKING:
    from tests.helpers.world import World


class Fleet:
    """One pod, which answers as its monitor would."""

    def __init__(self, candidates: list[str], profiles: list[str]) -> None:
        self.candidates, self.profiles = candidates, profiles
        self.pod = Pod("web", "base", "/s", "/r")
        self.pod.init_pid = os.getpid()

    def get(self, _: str) -> Pod:
        return self.pod

    def request(self, _: Pod) -> dict[str, Any]:
        return {"profiles": self.profiles}

    async def ask(self, _: str, op: str) -> dict[str, Any]:
        assert op == "domain"
        return {
            "name": "∩".join(self.candidates),
            "candidates": self.candidates,
            "effective": [],
            "grants": [],
        }


def draw(world: World, fleet: Fleet | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"cwd": str(world.project), "environ": {"HOME": str(world.home)}}
    if fleet:
        message["name"] = "web"
    return asyncio.run(chart.draw(fleet, world.library, world.domains, message))  # type: ignore[arg-type]


def test_all_domains(world: World) -> None:
    world.client("one")
    world.client("two")
    world.profile("bad.toml", "nonsense = 1\n")
    found = draw(world)
    assert [node["name"] for node in found["nodes"]] == ["one∩two", "one", "two"]
    assert (found["pod"], found["here"]) == (None, None)
    assert "bad.toml:1" in found["broken"][0]


def test_a_pod_by_command_is_where_its_candidates_are(world: World) -> None:
    one = world.client("one")
    world.client("two")
    found = draw(world, Fleet(["one", "two"], []))
    assert found["nodes"][found["here"]]["name"] == "one∩two"
    assert [(m["name"], m["asked"]) for m in found["pod"]["moves"]] == [
        ("one", False),
        ("two", False),
    ]
    assert found["pod"]["moves"][0]["path"] == str(one)
    found = draw(world, Fleet(["two"], []))
    assert (found["nodes"][found["here"]]["name"], found["pod"]["moves"]) == ("two", [])


def test_a_pod_by_profile_is_there_even_where_that_is_no_domain(world: World) -> None:
    world.client("one")
    found = draw(world, Fleet(["base", "one"], []))
    assert [(m["name"], m["asked"]) for m in found["pod"]["moves"]] == [("one", True)]
    assert found["here"] is not None
    # who asks for all domains next does not see it among them
    assert [node["name"] for node in draw(world)["nodes"]] == ["one"]


def test_the_processes_below_one_parents_first() -> None:
    argv = ["sh", "-c", "sleep 30 & wait"]
    with subprocess.Popen(argv) as child:
        try:
            for _ in range(1000):
                found = processes.below(child.pid)
                if len(found) == 2 and found[1]["argv"] == ["sleep", "30"]:
                    break
            assert [each["argv"] for each in found] == [argv, ["sleep", "30"]]
            assert [each["parent"] for each in found] == [0, child.pid]
        finally:
            os.kill(found[-1]["pid"], 9)
            child.kill()
    assert processes.below(child.pid) == []
