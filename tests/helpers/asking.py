"""A pod whose requests wait for the test, and the test's answers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

from tests.helpers.runner import Done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.runner import Podsh

POD = "asks"


class Asks:
    """One live pod called ``asks``, started with ``--ask hold``."""

    def __init__(self, podsh: Podsh) -> None:
        self.podsh = podsh
        self._start = time.time()

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """A program in the pod, in the background."""
        return self.podsh.start("exec", POD, "--", *argv)

    def sh(self, script: str) -> subprocess.Popen[bytes]:
        return self.start("sh", "-c", script)

    def waiting(self) -> list[dict[str, Any]]:
        done = self.podsh.run("requests", "--json")
        assert done.code == 0, done.err
        rows = [json.loads(line) for line in done.out.splitlines()]
        return [row for row in rows if row["state"] == "waiting"]

    def request(self, timeout_s: float = 15) -> dict[str, Any]:
        """The one request that waits, or will."""
        end = time.monotonic() + timeout_s
        while not (rows := self.waiting()):
            assert time.monotonic() < end, f"nothing is asked for; {self.events()[-5:]}"
            time.sleep(0.05)
        assert len(rows) == 1, rows
        return rows[0]

    def allow(self, row: dict[str, Any], *options: str) -> Done:
        return self.podsh.run("allow", str(row["id"]), *options)

    def deny(self, row: dict[str, Any], *options: str) -> Done:
        return self.podsh.run("deny", str(row["id"]), *options)

    def answered(self, script: str, path: object, op: str = "read", *options: str) -> Done:
        """What ``script`` gives once its one request, for ``path``, is allowed."""
        program = self.sh(script)
        row = self.request()
        assert (row["op"], row["path"]) == (op, str(path))
        done = self.allow(row, *options)
        assert done.code == 0, done.err
        return end(program)

    def unasked(self, script: str) -> Done:
        """What ``script`` gives without asking for anything."""
        before = len(self.events("request"))
        done = self.podsh.run("exec", POD, "--", "sh", "-c", script)
        assert self.events("request")[before:] == []
        return done

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """What happened in this pod so far."""
        done = self.podsh.run("events", POD, "--json")
        rows = [json.loads(line) for line in done.out.splitlines()]
        rows = [row for row in rows if row["ts"] >= self._start]
        return [row for row in rows if not kinds or row["ev"] in kinds]


def end(program: subprocess.Popen[bytes], timeout_s: float = 20) -> Done:
    """The end of a program that was started."""
    try:
        out, err = program.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        program.kill()
        program.communicate()
        raise AssertionError("it still waits") from None
    code = program.returncode if program.returncode >= 0 else 128 - program.returncode
    return Done(code, out.decode(errors="replace"), err.decode(errors="replace"))


@contextlib.contextmanager
def asks(podsh: Podsh, *options: str) -> Iterator[Asks]:
    """A pod for the test, with more options of ``run``."""
    done = podsh.run("run", "-d", "-n", POD, "--ask", "hold", *options, "--", "sleep", "1000")
    assert done.code == 0, done.err
    podsh.wait_state(POD, "running")
    try:
        yield Asks(podsh)
    finally:
        podsh.run("kill", "-s", "KILL", POD)
        podsh.wait_state(POD, "exited")
