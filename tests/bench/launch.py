"""How long until /bin/true has run and is gone: podsh, bubblewrap, firejail, nothing; in one loop.

Runs as the caller whose podsh it measures (``python -m tests.bench.launch ROUNDS COMMAND``), with a
warm portal; prints the times of every round as JSON, milliseconds by name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from podsh.portal import client
from tests.bench import contenders

if TYPE_CHECKING:
    from collections.abc import Callable

TRUE = ["/bin/true"]
WARM_UP = 5
# what a launch leaves to do in the background (the next standby) is not the next one's
PAUSE_S = 0.08
# what a person types, as a whole process: against Python alone, and another sandbox
COMMANDS = ("python -I -c pass", "podsh run", "firejail", "podsh ps", "a Tab")
BACK_TO_BACK = ("bwrap", "podsh, warm portal")


def measure(rounds: int, podsh: str) -> dict[str, list[float]]:
    """Milliseconds of each round by contender, the contenders taking turns."""
    environ = dict(os.environ)
    portal = client.connect()
    # as the others it leaves nothing behind
    message = contenders.request(TRUE, environ) | {"rm": True}

    # the end is told by an event, as the end of a child is by a signal: nothing is asked for it
    follower = client.connect()
    events = follower.events()
    assert next(events)["ev"] == "live"

    def warm_portal() -> None:
        name = portal.call("run", **message)["name"]
        ended = next(e for e in events if e["ev"] == "exit" and e.get("pod") == name)
        assert ended["code"] == 0

    def process(*argv: str) -> Callable[[], None]:
        program = shutil.which(argv[0]) or argv[0]

        def run() -> None:
            silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
            pid = os.posix_spawn(program, argv, environ, file_actions=silent)
            assert os.waitpid(pid, 0)[1] == 0

        return run

    runners = {
        "spawn": process(*TRUE),
        "bwrap": process(*contenders.bwrap(contenders.plan(TRUE, environ))),
        "podsh, warm portal": warm_portal,
        "python -I -c pass": process(sys.executable, "-I", "-c", "pass"),
        "podsh run": process(podsh, "run", "--rm", "--", *TRUE),
        "podsh ps": process(podsh, "ps"),
        "a Tab": process(podsh, "complete", "--format", "values", "--", "attach", ""),
    }
    if shutil.which("firejail"):
        runners["firejail"] = process("firejail", "--quiet", "--noprofile", *TRUE)
    times: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(-WARM_UP, rounds):
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            took = (time.perf_counter() - start) * 1e3
            if turn >= 0:
                times[name].append(took)
            time.sleep(PAUSE_S)
    # and without a pause, each after itself: there it is
    for name in BACK_TO_BACK:
        times[f"{name}, at once"] = []
        for turn in range(-WARM_UP, rounds):
            start = time.perf_counter()
            runners[name]()
            if turn >= 0:
                times[f"{name}, at once"].append((time.perf_counter() - start) * 1e3)
        time.sleep(PAUSE_S)
    follower.close()
    portal.close()
    return times


if __name__ == "__main__":
    subprocess.run(contenders.bwrap(contenders.plan(TRUE, os.environ)), check=True)
    print(json.dumps(measure(int(sys.argv[1]), sys.argv[2])))
