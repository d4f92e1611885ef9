"""Long runs (`make soak`): nothing grows with the number of pods that came and went."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_life import kill_portal
from tests.helpers import install, processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh

pytestmark = pytest.mark.soak

LAUNCHES = 400


def _resident(name: str) -> int:
    """The pid of podsh's process of that name (``podsh: portal``)."""
    return next(p.pid for p in processes.below(os.getpid()) if p.name == name)


def _grown(pid: int) -> tuple[int, int]:
    """Descriptors, and KiB of private memory."""
    memory = Path("/proc", str(pid), "smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in memory.splitlines() if "Private" in line)
    return len(os.listdir(f"/proc/{pid}/fd")), private


@pytest.mark.skipif(os.getuid() != 0, reason="podsh's own processes show this to root alone")
def test_nothing_grows(podsh: Podsh) -> None:
    """Four hundred pods, eight at a time; half of them are killed."""
    residents = [_resident(name) for name in ("podsh: portal", "podsh: zygote")]

    def some(count: int) -> None:
        for _ in range(0, count, 8):
            runs = [podsh.start("run", "--rm", "--", "true") for _ in range(4)]
            runs += [podsh.start("run", "--rm", "--", "sleep", "100") for _ in range(4)]
            for number, run in enumerate(runs):
                if number >= 4:
                    run.terminate()
                run.communicate(timeout=60)

    some(80)  # caches fill
    before = [_grown(pid) for pid in residents]
    some(LAUNCHES)
    podsh.forget_pods()
    after = [_grown(pid) for pid in residents]
    for (old_fds, old_kib), (fds, kib) in zip(before, after, strict=True):
        assert fds <= old_fds + 4
        assert kib <= old_kib * 1.2 + 1024


class Life:
    """Everything that people do with pods, in an order that a seed decides."""

    MOST = 10

    def __init__(self, podsh: Podsh, seed: int) -> None:
        self.podsh = podsh
        self.random = random.Random(seed)
        self.number = 0
        self.file = podsh.file(podsh.home / "wanted", "given\n")
        self.shown = podsh.directory("shown")

    def live(self) -> list[str]:
        return [row["name"] for row in self.podsh.ps() if row["state"] == "running"]

    def some(self) -> str | None:
        live = self.live()
        return self.random.choice(live) if live else None

    def launch(self) -> None:
        if len(self.live()) >= self.MOST:
            return self.end()
        self.number += 1
        script = f"cat {self.file}; n=0; while sleep 0.3; do echo $((n += 1)); done"
        held = self.random.choice((("--ask", "hold"), ()))
        name = f"soak{self.number}"
        self.podsh.run("run", "-d", *held, "-n", name, "--", "sh", "-c", script)

    def foreground(self) -> None:
        assert self.podsh.pod("echo", "said").out == "said\n"

    def attach(self) -> None:
        if name := self.some():
            with self.podsh.terminal("attach", name) as terminal:
                for _ in range(self.random.randrange(8)):
                    terminal.pump()
                if self.random.random() < 0.5:
                    terminal.kill()

    def execute(self) -> None:
        if name := self.some():
            self.podsh.run("exec", name, "--", "sh", "-c", "sleep 0.1; echo in")

    def kill_a_client(self) -> None:
        client = self.podsh.start("run", "--rm", "--", "sleep", "1000")
        time.sleep(self.random.uniform(0, 0.3))
        client.kill()
        client.communicate()

    def answer(self) -> None:
        for line in self.podsh.run("requests", "--json").out.splitlines():
            ident = str(json.loads(line)["id"])
            words = self.random.choice(
                (("allow", ident), ("allow", ident, "--pod"), ("deny", ident))
            )
            self.podsh.run(*words)

    def mount(self) -> None:
        if name := self.some():
            self.podsh.run("mount", name, "-w", str(self.shown))
            if self.random.random() < 0.7:
                self.podsh.run("revoke", name, str(self.shown))

    def end(self) -> None:
        if name := self.some():
            self.podsh.run("kill", *self.random.choice(((), ("-s", "KILL"))), name)
            self.podsh.run("wait", name, "exit", "-t", "20")
            if self.random.random() < 0.7:
                self.podsh.run("rm", name)

    def kill_a_monitor(self) -> None:
        rows = [row for row in self.podsh.ps() if row["state"] == "running"]
        if rows:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(rows)["monitor_pid"], signal.SIGKILL)

    def kill_the_portal(self) -> None:
        before = sorted(self.live())
        kill_portal(self.podsh)
        assert sorted(self.live()) == before

    def clean(self) -> None:
        ended = [row["name"] for row in self.podsh.ps() if row["state"] != "running"]
        if ended:
            self.podsh.run("rm", *ended)

    def go_on(self, seconds: float) -> int:
        """What is done rarely is twice as rare."""
        often = (self.launch, self.foreground, self.attach, self.execute, self.answer, self.mount)
        rare = (self.end, self.kill_a_client, self.kill_a_monitor, self.clean)
        end, turns = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            turns += 1
            self.random.choice((*often, *often, *rare))()
            if turns % 50 == 0:
                self.kill_the_portal()
            processes.reap()
        return turns

    def rest(self) -> None:
        """Nothing runs, and the portal is one that has served a few."""
        self.podsh.forget_pods()
        for _ in range(10):
            self.foreground()


@pytest.mark.timeout(0)
def test_anything_at_random(
    make_podsh: Callable[[], Podsh], request: pytest.FixtureRequest
) -> None:
    """Memory, descriptors, processes, mounts and sockets come back to where they began."""
    seconds = request.config.getoption("--minutes") * 60
    life = Life(make_podsh(), int(os.environ.get("SEED", "1")))
    life.go_on(seconds / 6)
    life.rest()
    kill_portal(life.podsh)
    life.rest()

    def state() -> tuple[list[tuple[int, int]], processes.Traces]:
        processes.reap()
        residents = [_resident(name) for name in ("podsh: portal", "podsh: zygote")]
        grown = [_grown(pid) for pid in residents] if os.getuid() == 0 else []
        return grown, processes.Traces.now(life.podsh.runtime)

    before, traces = state()
    turns = life.go_on(seconds * 5 / 6)
    life.rest()
    kill_portal(life.podsh)
    life.rest()
    left = processes.settle(traces, life.podsh.runtime)
    assert not left, left
    after, _ = state()
    for (old_fds, old_kib), (fds, kib) in zip(before, after, strict=True):
        assert fds <= old_fds + 4
        assert kib <= old_kib * 1.2 + 1024
    print(f"{turns} turns, {life.number} pods")


def test_fresh_clone(tmp_path: Path) -> None:
    """The first command that the README names, in a new clone in another folder."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(install.ROOT), str(clone)], check=True)
    (tmp_path / "run").mkdir(mode=0o700)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path)}
    env.pop("PIP_CONFIG_FILE", None)

    def podsh(arguments: str) -> str:
        done = subprocess.run(
            ["make", "-s", "run", f"ARGS={arguments}"],
            cwd=clone,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert podsh('run -- python3 -c "print(6*7)"').endswith("\n42\n")
        assert podsh('run -- python3 -c "print(6*7)"') == "42\n"
    finally:
        podsh("shutdown --kill")
