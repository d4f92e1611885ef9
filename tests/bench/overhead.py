"""What being asked costs: the same programs in three kinds of pods of one profile, in turns.

    python -m tests.bench overhead [--rounds N]

``plain``: calls are not held at all. ``shim``: as pods are. ``no shim``: every call with a path
waits for the monitor. The pods without notification come from a portal of the bench's own, which
finds that requests cannot be held; there is no such switch in podsh. Each program also runs in a
second plain pod: what that differs by is the noise.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.helpers.runner import Podsh

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WARM_UP = 2
SLOW_EVERY = 4  # rounds; without the shim programs take up to 25 times as long
# with shim, by the issue; without there is no promise but for a single call
LIMITS = {
    "find": 1.02,
    "tar": 1.02,
    "ls -lR": 1.02,
    "gcc": 1.06,
    "imports": 1.05,
    "git": 1.15,
    "make -j2": 1.05,
}
LONG = ("make -j2",)  # takes seconds, too
FILES = 200  # that it compiles
CALLS = 100_000
MISSES = 12
PODS = 20  # in which they are missed

# a portal that finds no way of holding calls; else it is podsh's own
QUIET = """
import sys
from podsh.plan import Facts
from podsh.portal import launch, main
launch.Facts = lambda **known: Facts(**{**known, "requests": False})
sys.exit(main.main())
"""

# in the pod: runs what it is told, tells how long it took
DRIVER = """
import json, os, shutil, sys, time
null = os.open("/dev/null", os.O_RDWR)
quiet = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1)]
for line in sys.stdin:
    argv = json.loads(line)
    program = shutil.which(argv[0])
    start = time.perf_counter()
    pid = os.posix_spawn(program, argv, os.environ, file_actions=quiet)
    status = os.waitpid(pid, 0)[1]
    took = time.perf_counter() - start
    print(json.dumps([took, status]), flush=True)
"""

TREE = """
import os, sys
for number in range(400):
    folder = f"tree/d{number % 20}/e{number}"
    os.makedirs(folder)
    for name in range(50):
        with open(f"{folder}/file{name}", "w") as file:
            file.write("text " * 200)
os.mkdir("repo")
for number in range(200):
    os.makedirs(f"repo/d{number % 40}", exist_ok=True)
    with open(f"repo/d{number % 40}/f{number}", "w") as file:
        file.write(f"{number}")
for number in range(MISSES):
    os.makedirs(f"missing/d{number}")
    with open(f"missing/d{number}/file", "w") as file:
        file.write("text")
"""

UNIT = """
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(int count, char **words)
{
	int numbers[64];
	for (int i = 0; i < 64; i++)
		numbers[i] = (i * 7919 + count) % 61;
	qsort(numbers, 64, sizeof *numbers, compare);
	for (int i = 0; i < 64; i++)
		printf("%d %s %f\\n", numbers[i], words[0], sin(numbers[i]));
	return 0;
}
"""

MAKEFILE = """
objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
	gcc -o $@ $^
%.o: %.c parts.h
	gcc -O1 -c -o $@ $<
"""

PART = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "parts.h"
int part_NUMBER(const char *words, int count)
{
	char *copy = strdup(words);
	for (int i = 0; copy && copy[i]; i++)
		count = count * 31 + copy[i];
	free(copy);
	return count > NUMBER ? printf("%d\\n", count) : 0;
}
"""

STATS = """
#include <stdlib.h>
#include <sys/stat.h>
int main(int count, char **words)
{
	struct stat found;
	for (long left = atol(words[1]); left > 0; left--)
		if (stat("/usr/bin", &found))
			return 1;
	return 0;
}
"""

# opens each of its arguments once, and says how many microseconds each took
OPENS = """
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
int main(int count, char **words)
{
	struct timespec a, b;
	for (int i = 1; i < count; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		int fd = open(words[i], O_RDONLY);
		clock_gettime(CLOCK_MONOTONIC, &b);
		if (fd < 0)
			return perror(words[i]), 1;
		printf("%f\\n", (b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3);
	}
	return 0;
}
"""

IMPORTS = (
    "import asyncio, concurrent.futures, email.mime.text, http.client, json, logging.config, "
    "sqlite3, ssl, unittest, urllib.request, xml.dom.minidom"
)


class Pod:
    """A pod in which programs are run by a driver, which times them."""

    def __init__(self, podsh: Podsh, name: str, profile: str) -> None:
        self._podsh, self.name = podsh, name
        self._process = podsh.start(
            *("run", "--rm", "-n", name, "-p", profile, "--", "python3", "-I", "-c", DRIVER),
            stdin=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.run(["true"])

    def run(self, argv: list[str]) -> float:
        """Milliseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(argv).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        try:
            took, status = json.loads(line)
        except ValueError:
            rest = self._process.communicate()[0]
            raise AssertionError((line + rest).decode(errors="replace")) from None
        assert status == 0, (self.name, argv, status)
        return float(took) * 1e3

    def close(self) -> None:
        self._process.communicate()


class Quiet:
    """A portal of the same caller that holds no calls, in directories of its own."""

    def __init__(self, podsh: Podsh) -> None:
        self.podsh = Podsh(podsh.command, podsh.caller, podsh.base.parent / f"q{podsh.base.name}")
        python = podsh.command.parent / "python"
        self._process = self.podsh.start(str(python), "-I", "-c", QUIET, raw=True)
        listening = self.podsh.runtime / "podsh" / "portal.sock"
        end = time.monotonic() + 10
        while not listening.exists():
            assert time.monotonic() < end, "the quiet portal does not start"
            time.sleep(0.02)

    def close(self) -> None:
        self.podsh.close()
        self._process.communicate(timeout=20)


def workloads(work: Path) -> dict[str, list[str]]:
    tree = str(work / "tree")
    return {
        "find": ["find", tree, "-size", "+1000"],
        "tar": ["sh", "-c", f"tar cPf - {tree} | cat"],
        "ls -lR": ["ls", "-lR", tree],
        "gcc": ["gcc", "-O1", "-c", "-o", "/tmp/unit.o", str(work / "unit.c")],
        "imports": ["python3", "-c", IMPORTS],
        "git": ["git", "-C", str(work / "repo"), "status", "--short"],
        "make -j2": ["make", "-s", "-B", "-j2", "-C", str(work / "project")],
    }


def prepare(podsh: Podsh) -> Path:
    """What the programs work on, the caller's own."""
    work = podsh.directory("work")
    podsh.file(work / "unit.c", UNIT)
    project = podsh.directory("work/project")
    podsh.file(project / "Makefile", MAKEFILE)
    names = [f"part_{number}" for number in range(FILES)]
    for number, name in enumerate(names):
        podsh.file(project / f"{name}.c", PART.replace("NUMBER", str(number)))
    declared = "".join(f"int {name}(const char *, int);\n" for name in names)
    podsh.file(project / "parts.h", declared)
    called = " + ".join(f'{name}("word", {at})' for at, name in enumerate(names))
    podsh.file(project / "main.c", f'#include "parts.h"\nint main(void) {{ return {called}; }}\n')
    commands = [
        [sys.executable, "-c", TREE.replace("MISSES", str(MISSES))],
        ["git", "init", "-q", "repo"],
        ["git", "-C", "repo", "add", "."],
        ["git", "-C", "repo", "-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"],
    ]
    for name, source in (("stats", STATS), ("opens", OPENS)):
        podsh.file(work / f"{name}.c", source)
        commands.append(["gcc", "-O1", "-o", name, f"{name}.c"])
    for argv in commands:
        done = podsh.outside(*argv, cwd=work)
        assert done.code == 0, (argv, done.err)
    return work


def profiles(podsh: Podsh, work: Path) -> None:
    """``bench`` shows the work; a chain of domains begins there, each with one file more."""
    text = 'extends = "base"\n'
    for name in ("tree", "repo", "project", "unit.c", "stats", "opens"):
        write = str(name in ("repo", "project")).lower()
        text += f'[[fs.bind]]\npath = "{work}/{name}"\nwrite = {write}\n'
    podsh.profile("bench", text + '[access]\ntransition = "auto"\n')
    podsh.profile("bench-slow", 'extends = "bench"\n[access]\nshim = false\n')
    text = 'extends = "bench"\n'
    for number, path in enumerate(missing(work)):
        text += f'[[fs.bind]]\npath = "{path}"\n'
        podsh.profile(f"more-{number}", text)


def missing(work: Path) -> list[str]:
    return [str(work / f"missing/d{number}/file") for number in range(MISSES)]


def measure(podsh: Podsh, rounds: int) -> dict[str, Any]:
    """Times in milliseconds, by program and kind of pod; of one call, and of a miss, in µs."""
    work = prepare(podsh)
    quiet = Quiet(podsh)
    pods: dict[str, Pod] = {}
    try:
        for each in (podsh, quiet.podsh):
            profiles(each, work)
        pods["plain"] = Pod(quiet.podsh, "plain", "bench")
        pods["again"] = Pod(quiet.podsh, "again", "bench")
        pods["shim"] = Pod(podsh, "shim", "bench")
        pods["no shim"] = Pod(podsh, "slow", "bench-slow")
        times: dict[str, dict[str, list[float]]] = {}
        names = list(pods)
        for turn in range(-WARM_UP, rounds):
            for program, argv in workloads(work).items():
                kinds = times.setdefault(program, {name: [] for name in pods})
                # each goes first in its turn
                for kind in names[turn % len(names) :] + names[: turn % len(names)]:
                    seldom = kind == "no shim" or program in LONG
                    never = program in LONG and kind in ("again", "no shim")
                    if never or (seldom and turn % SLOW_EVERY):
                        took = math.nan
                    else:
                        took = pods[kind].run(argv)
                    if turn >= 0:
                        kinds[kind].append(took)
        stats = [str(work / "stats"), str(CALLS)]
        calls = [
            (pods["no shim"].run(stats) - pods["plain"].run(stats)) / CALLS * 1e3
            for _ in range(max(3, rounds // 5))
        ]
        return {"programs": times, "call": calls, "miss": misses(podsh, work)}
    finally:
        for pod in pods.values():
            pod.close()
        quiet.close()


def misses(podsh: Podsh, work: Path) -> list[float]:
    """µs of each first open(2) of a file that the next of the domains allows."""
    found = []
    for _ in range(PODS):
        done = podsh.pod(str(work / "opens"), *missing(work), options=("-p", "bench"))
        assert done.code == 0, done.err
        found += [float(line) for line in done.out.split()]
    return found


def ratio(of: Iterable[float], to: Iterable[float]) -> float:
    """The median over the rounds: what slows a machine for a while slows both of a round."""
    pairs = zip(of, to, strict=True)
    found = [one / other for one, other in pairs if not math.isnan(one)]
    return statistics.median(found) if found else math.nan


def median(values: Iterable[float]) -> float:
    """Of those that were measured."""
    return statistics.median(value for value in values if not math.isnan(value))


def show(found: dict[str, Any], name: str, rounds: int) -> dict[str, Any]:
    """Print the tables; the figures as data."""
    print(f"\nPrograms in pods as {name}, {rounds} rounds: x of no requests at all, medians")
    print(f"  {'':10}{'plain, ms':>11}{'itself':>9}{'shim':>9}{'at most':>9}{'no shim':>9}")
    figures: dict[str, Any] = {}
    for program, kinds in found["programs"].items():
        plain = kinds["plain"]
        ratios = {kind: ratio(kinds[kind], plain) for kind in ("again", "shim", "no shim")}
        most = LIMITS[program]
        verdict = "" if ratios["shim"] <= most else "  MISSED"
        print(
            f"  {program:10}{median(plain):11.2f}{ratios['again']:9.3f}"
            f"{ratios['shim']:9.3f}{most:9.2f}{ratios['no shim']:9.2f}{verdict}"
        )
        measured = {kind: value for kind, value in ratios.items() if not math.isnan(value)}
        figures[program] = {"plain_ms": median(plain), **measured, "at_most": most}
    call, miss = statistics.median(found["call"]), statistics.median(found["miss"])
    slow = statistics.quantiles(found["miss"], n=100)[-1]
    print(f"  a call that is held and goes on, without shim: {call:.2f} µs (at most 8)")
    print(
        f"  missing, mounted, opened: {miss / 1e3:.3f} ms (at most 0.3), "
        f"99 % of {len(found['miss'])}: {slow / 1e3:.3f} ms (at most 2)"
    )
    return {"programs": figures, "call_us": call, "miss_us": miss, "miss_99_us": slow}
