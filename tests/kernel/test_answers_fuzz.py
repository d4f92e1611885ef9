"""Hostile calls, memory and programs through the monitor's quick answers, under sanitizers.

A fixed slice of seeds; ``pytest -m soak`` takes many more.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from podsh.native import build

HERE = Path(__file__).resolve().parent
ANSWER = HERE.parents[1] / "podsh/native/monitor/answer.c"
# asked of the kernel, and answered by the fuzzer
WRAPPED = ("ioctl", "process_vm_readv")


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("answers") / "fuzz"
    flags = [*shlex.split(build.COMMON), *shlex.split(build.ASAN), "-pthread"]
    flags += [f"-Wl,--wrap={name}" for name in WRAPPED]
    sources = [str(HERE / "answers_fuzz.c"), str(ANSWER)]
    subprocess.run([*build.compiler(), *flags, "-o", str(target), *sources], check=True)
    return target


def fuzz(binary: Path, folder: Path, seed: int, count: int) -> tuple[int, int, int]:
    """How many calls went on, were passed on, were refused. A crash fails the test."""
    (folder / "dir").mkdir()
    for name in ("here", "dir/here", "empty"):
        (folder / name).write_text("x" if name != "empty" else "")
    (folder / "link").symlink_to("here")
    (folder / "loop").symlink_to("loop")
    (folder / "away").symlink_to("/no/where")
    os.mkfifo(folder / "fifo")
    done = subprocess.run(
        [str(binary), str(folder), str(seed), str(count)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[:4000]
    went_on, passed, refused = map(int, done.stdout.split())
    return went_on, passed, refused


def test_a_slice(binary: Path, tmp_path: Path) -> None:
    # every way is walked
    assert min(fuzz(binary, tmp_path, 1, 60_000)) > 20


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_many(binary: Path, tmp_path: Path, seed: int) -> None:
    fuzz(binary, tmp_path, 1000 + seed, 1_000_000)
