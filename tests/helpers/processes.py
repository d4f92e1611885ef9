"""What is alive: processes below us, mounts, sockets; and whether a test left any behind.

The suite is a subreaper, so whatever podsh starts, daemons and orphans too, stays below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


class Process(NamedTuple):
    pid: int
    parent: int
    state: str
    name: str


def processes() -> dict[int, Process]:
    """Every process of the machine, from /proc/PID/stat."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        state, parent = text[text.rindex(")") + 2 :].split()[:2]
        found[int(entry)] = Process(int(entry), int(parent), state, name)
    return found


def below(pid: int) -> list[Process]:
    """The descendants of ``pid``."""
    everything = processes()
    children: dict[int, list[Process]] = {}
    for process in everything.values():
        children.setdefault(process.parent, []).append(process)
    found, todo = [], [pid]
    while todo:
        born = children.get(todo.pop(), [])
        found += born
        todo += [process.pid for process in born]
    return found


def reap() -> None:
    """Bury orphans that ended as our children, as an init would."""
    for process in below(os.getpid()):
        if process.parent == os.getpid() and process.state == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def command_line(pid: int) -> str:
    """What ps would show; empty for a process that is gone."""
    with contextlib.suppress(OSError):
        data = Path("/proc", str(pid), "cmdline").read_bytes()
        return data.replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


# what the name of the directory of a suite's files begins with
GROUND = f"/tmp/pt-{os.getpid()}-"
_ANYBODYS = re.compile("/tmp/pt-[0-9]+-")


def mounts() -> list[str]:
    """The mount points of this process's namespace, but for those of another suite's files."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in points if point.startswith(GROUND) or not _ANYBODYS.match(point)]


class Traces(NamedTuple):
    """What exists at one moment, to be compared: multisets of names."""

    processes: Counter[str]
    mounts: Counter[str]
    sockets: Counter[str]

    @classmethod
    def now(cls, *directories: Path) -> Traces:
        """``directories``: where sockets appear."""
        sockets = [
            str(path.relative_to(top))
            for top in directories
            for path in top.rglob("*")
            if path.is_socket()
        ]
        names = [
            process.name + (" (zombie)" if process.state == "Z" else "")
            for process in below(os.getpid())
        ]
        return cls(Counter(names), Counter(mounts()), Counter(sockets))

    def grown(self, before: Traces) -> dict[str, list[str]]:
        """What there is now and was not before."""
        return {
            kind: sorted(more.elements())
            for kind, now, then in zip(self._fields, self, before, strict=True)
            if (more := now - then)
        }


def settle(before: Traces, *directories: Path, timeout_s: float = 5.0) -> str:
    """Wait until all is as before; what is left over, in words (empty: nothing is).

    Things that went away meanwhile are no fault, but waited for a little: podsh keeps standby
    processes, and the next test is not to find a new one.
    """
    start = time.monotonic()
    while True:
        reap()
        now = Traces.now(*directories)
        left, waited = now.grown(before), time.monotonic() - start
        if not left and (waited > 1.0 or not before.grown(now)):
            return ""
        if waited > timeout_s:
            lines = [f"{kind}: {', '.join(names)}" for kind, names in left.items()]
            lines += [
                f"  {process.pid} (parent {process.parent}) {process.name}: "
                f"{command_line(process.pid)}"
                for process in below(os.getpid())
            ]
            return "\n".join(lines)
        time.sleep(0.02)


class Watch:
    """What there is between tests, with every portal that serves several of them.

    A test that leaves something behind is told of it once: then that belongs to the rest.
    """

    def __init__(self) -> None:
        self.directories: list[Path] = []
        self.between = Traces.now()

    def rest(self, *directories: Path) -> None:
        """Take what is there now as what is there between tests, once it stays the same."""
        self.directories += directories
        same, last = 0, self.between
        for _ in range(250):
            reap()
            self.between = Traces.now(*self.directories)
            same = same + 1 if self.between == last else 0
            last = self.between
            if same >= 15:
                break
            time.sleep(0.02)

    def left(self) -> str:
        """What the test that just ended has left behind, in words; empty for nothing."""
        if left := settle(self.between, *self.directories):
            self.rest()
        return left
