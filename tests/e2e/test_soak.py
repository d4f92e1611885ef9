"""Long runs (`make soak`): nothing grows with the number of pods that came and went."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import install, processes

if TYPE_CHECKING:
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
