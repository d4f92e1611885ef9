"""What grows with a person's use: many binds in one profile, many live pods, many profiles."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import contenders
from tests.helpers import processes

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

BINDS = 2000
DIRECTORIES = 40  # that these lie in
BWRAP_EVERY = 4  # rounds; it takes seconds
PODS = 200
ENDS = 20  # of the first and the last pods, whose launches are compared
IDLE_S = 10.0
REST_S = 2.0  # monitors give memory back a second after they were busy
PROFILES = 1000
# what a launch leaves to do in the background (the next standby) is not the next one's
PAUSE_S = 0.08


def took_ms(podsh: Podsh, *argv: str, raw: bool = False) -> float:
    """Of ``podsh ARGV`` as a whole process. raw: of ARGV itself."""
    begin = time.perf_counter()
    done = podsh.outside(*argv) if raw else podsh.run(*argv)
    took = (time.perf_counter() - begin) * 1e3
    assert done.code == 0, (argv[:8], done.err)
    time.sleep(PAUSE_S)
    return took


def binds(podsh: Podsh, rounds: int) -> dict[str, list[float]]:
    """ms of /bin/true in a pod with that many binds, files and directories, some writable.

    ``after a change``: of the profile, which is read and looked up anew.
    """
    text = 'extends = "base"\n'
    for number in range(BINDS):
        at = podsh.directory(f"many/d{number % DIRECTORIES}") / f"n{number}"
        if number % 2:
            podsh.file(at, "text")
        else:
            podsh.directory(f"many/d{number % DIRECTORIES}/n{number}")
        text += f'[[fs.bind]]\npath = "{at}"\nwrite = {str(number % 4 == 0).lower()}\n'
    podsh.profile("many", text)
    run = ("run", "--rm", "-p", "many", "--", "true")
    took_ms(podsh, "run", "--rm", "--", "true")
    bwrap = contenders.bwrap(contenders.plan(["true"], podsh.env, ("many",)))
    first = took_ms(podsh, *run)
    found: dict[str, list[float]] = {"podsh run": [], "after a change": [first], "bwrap": []}
    for turn in range(rounds):
        found["podsh run"].append(took_ms(podsh, *run))
        podsh.profile("many", f"{text}# {turn}\n")
        found["after a change"].append(took_ms(podsh, *run))
        took_ms(podsh, *run)
        if turn % BWRAP_EVERY == 0 and shutil.which("bwrap"):
            found["bwrap"].append(took_ms(podsh, *bwrap, raw=True))
    podsh.forget_profiles()
    shutil.rmtree(podsh.base / "many")
    return found


def _cpu_ns(pids: list[int]) -> int:
    """What these have run so far (schedstat of proc(5))."""
    return sum(int(Path("/proc", str(pid), "schedstat").read_text().split()[0]) for pid in pids)


def pods(podsh: Podsh) -> dict[str, list[float]]:
    """ms of the launches of the first and of the last of many pods, of ``ps`` and a Tab beside
    all of them, and the percentage of one core that all of podsh takes while they idle."""
    launches: list[float] = []
    try:
        took_ms(podsh, "run", "--rm", "--", "true")
        for number in range(PODS):
            launches.append(
                took_ms(podsh, "run", "-d", "-n", f"idle{number}", "--", "sleep", "1000")
            )
        tab = ("complete", "--format", "values", "--", "attach", "")
        found = {
            f"launches 1-{ENDS}": launches[:ENDS],
            f"launches {PODS - ENDS + 1}-{PODS}": launches[-ENDS:],
            "ps": [took_ms(podsh, "ps") for _ in range(ENDS)],
            "a Tab": [took_ms(podsh, *tab) for _ in range(ENDS)],
        }
        rows = podsh.ps()
        assert len(rows) == PODS, len(rows)
        every = processes.processes()
        zygote = every[every[int(rows[0]["init_pid"])].parent].parent
        portal = every[zygote].parent
        time.sleep(REST_S)
        pids = [portal, *(process.pid for process in processes.below(portal))]
        begin, before = time.monotonic_ns(), _cpu_ns(pids)
        time.sleep(IDLE_S)
        took = _cpu_ns(pids) - before
        found["idle CPU, %"] = [100 * took / (time.monotonic_ns() - begin)]
        return found
    finally:
        podsh.forget_pods()


def with_profiles(podsh: Podsh, rounds: int) -> dict[str, list[float]]:
    """ms of commands with a few profiles and with a thousand; ``start``: with the portal's."""
    found: dict[str, list[float]] = {}
    for count in (1, PROFILES):
        write_profiles(podsh, count)
        commands = {
            "run": ("run", "--rm", "--", "true"),
            "run -p": ("run", "--rm", "-p", "client0", "--", "true"),
            "a Tab": ("complete", "--format", "values", "--", "run", "-p", "cl"),
        }
        for turn in range(-1, rounds):
            for name, argv in commands.items():
                took = took_ms(podsh, *argv)
                if turn >= 0:
                    found.setdefault(f"{name}, {count:,}", []).append(took)
        for _ in range(3):
            podsh.run("shutdown", "--kill")
            took = took_ms(podsh, *commands["run"])
            found.setdefault(f"start and run, {count:,}", []).append(took)
    podsh.forget_profiles()
    return found


def write_profiles(podsh: Podsh, count: int) -> None:
    """``client0`` and so on, each with a project of its own."""
    for number in range(count):
        docs = podsh.directory(f"home/clients/client{number}/docs")
        podsh.profile(f"client{number}", project_profile(str(docs.parent)))


def project_profile(path: str) -> str:
    """A profile as people write them: the base, and a project with a part that is read-only, one
    that need not be there, and one that is nobody's business."""
    return f"""extends = "base"
description = "the client's"

[[fs.bind]]
path = "{path}"
write = true

[[fs.bind]]
path = "{path}/docs"

[[fs.bind]]
path = "{path}/.git"
optional = true

[access]
deny = ["{path}/.env"]
"""
