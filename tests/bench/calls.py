"""What lists of system calls cost a program, and what a trace costs; see ``make bench``.

    python -m tests.bench.calls

The loops run outside of any pod, under the same programs that pods get.
"""

from __future__ import annotations

import errno
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from podsh.kernel import bpf, seccomp, syscalls
from podsh.kernel.refusals import refuse
from podsh.kernel.seccomp import FilterSpec

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

LISTED = 150
ROUNDS = 300_000
REPEATS = 7
LOOPS = ("getpid", "read", "open, close")
# a program that does little but call, and one that starts others
TRACED = {
    "dd of 20,000 bytes": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000"],
    "sh with 50 children": ["sh", "-c", "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done"],
}


def names() -> tuple[str, ...]:
    """A list in which the calls of the loops are not first."""
    looped = ("getpid", "read", "close", "openat", "open")
    others = [name for name in sorted(syscalls.NAMES[syscalls.native()]) if name not in looped]
    return (*others[: LISTED // 2], *looped, *others[LISTED // 2 : LISTED - len(looped)])


def in_their_order(calls: tuple[str, ...]) -> bytes:
    """The list as one comparison after the other, the first names first; nothing else."""
    code: bpf.Piece = [(bpf.LOAD, 0, 0, bpf.NR)]
    for call in calls:
        code += [(bpf.JUMP_EQUAL, 0, 1, syscalls.number(call)), *bpf.ret(bpf.ALLOW)]
    return bpf.encode(code + bpf.ret(refuse(errno.ENOSYS)))


def loops(rounds: int = ROUNDS) -> dict[str, dict[str, list[float]]]:
    """ns of one call, by loop and kind of filter."""
    listed = (*names(), "write", "exit_group", "clock_gettime", "newfstatat", "fstat")
    programs = {
        "no filter": b"",
        "every pod's refusals": seccomp.build(FilterSpec(refuse_setid=True)),
        f"and {LISTED} calls listed": seccomp.build(FilterSpec(refuse_setid=True, allow=listed)),
        "list alone, in order": in_their_order(listed),
    }
    found: dict[str, dict[str, list[float]]] = {loop: {} for loop in LOOPS}
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory) / "loops"
        source = Path(__file__).with_name("loops.c")
        subprocess.run(["gcc", "-O2", "-o", str(binary), str(source)], check=True)
        for name, program in programs.items():
            (Path(directory) / name).write_bytes(program)
        for _ in range(REPEATS):
            for name, program in programs.items():
                given = [str(Path(directory) / name)] if program else []
                done = subprocess.run(
                    [str(binary), str(rounds), *given], capture_output=True, text=True, check=True
                )
                for loop, value in zip(LOOPS, done.stdout.split(), strict=True):
                    found[loop].setdefault(name, []).append(float(value))
    return found


def traces(podsh: Podsh, rounds: int = 5) -> dict[str, dict[str, list[float]]]:
    """ms of a program, by how it is run."""
    found: dict[str, dict[str, list[float]]] = {}
    strace = shutil.which("strace")
    for title, argv in TRACED.items():
        ways = {
            "alone": argv,
            "in a pod": [str(podsh.command), "run", "--rm", "--", *argv],
            "podsh trace": [str(podsh.command), "trace", "-o", "/dev/null", "--", *argv],
        }
        if strace:
            ways["strace -c -f"] = [strace, "-c", "-f", "-o", "/dev/null", *argv]
        found[title] = {}
        for _ in range(rounds):
            for way, command in ways.items():
                begin = time.perf_counter()
                assert podsh.outside(*command).code == 0, command
                found[title].setdefault(way, []).append((time.perf_counter() - begin) * 1e3)
    return found


if __name__ == "__main__":
    for loop, ways in loops().items():
        for way, values in ways.items():
            print(f"{loop:12} {way:24} {statistics.median(values):8.1f} ns")
