"""How long keys take: the echo of one, and the attention key while a pod floods its terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from typing import TYPE_CHECKING

from tests.bench.throughput import COLS, READ_BYTES, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.helpers.runner import Podsh

ATTENTION = b"\x1d"
PROMPT = b"podsh>"
_LIMIT_S = 20.0


class _Person:
    """A program on a pty; answers what every terminal answers."""

    def __init__(self, argv: Sequence[str], podsh: Podsh) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            become = podsh.caller.become()
            if become is not None:
                become()
            os.chdir(podsh.home)
            os.execve(argv[0], list(argv), podsh.env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))

    def read(self) -> bytes:
        assert select.select([self.fd], [], [], _LIMIT_S)[0], "nothing came"
        data = os.read(self.fd, READ_BYTES)
        for question, answer in ((b"\x1b[5n", b"\x1b[0n"), (b"\x1b[6n", b"\x1b[1;1R")):
            for _ in range(data.count(question)):
                os.write(self.fd, answer)
        return data

    def until(self, wanted: bytes) -> None:
        """Read on until that was written."""
        seen, end = b"", time.monotonic() + _LIMIT_S
        while wanted not in seen:
            seen = seen[-len(wanted) :] + self.read()
            assert time.monotonic() < end, f"no {wanted!r}"

    def rest(self, quiet_s: float) -> None:
        """Read on until nothing comes for so long."""
        while select.select([self.fd], [], [], quiet_s)[0]:
            self.read()

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@contextlib.contextmanager
def _on_terminal(argv: Sequence[str], podsh: Podsh) -> Iterator[_Person]:
    person = _Person(argv, podsh)
    try:
        yield person
    finally:
        person.close()


def _echoes(person: _Person, count: int) -> list[float]:
    """Milliseconds from a key to its echo."""
    person.until(b"ready")
    person.rest(0.3)
    found = []
    for _ in range(count):
        time.sleep(0.002)
        start = time.perf_counter()
        os.write(person.fd, b"x")
        person.until(b"x")
        found.append((time.perf_counter() - start) * 1000)
    return found


def echo(podsh: Podsh, rounds: int) -> dict[str, list[float]]:
    """By a terminal in the kernel alone, and through podsh; taking turns."""
    own = str(podsh.command)
    # the terminal's own echo, character by character
    program = ["/bin/sh", "-c", "stty -icanon; echo ready; exec cat >/dev/null"]
    found: dict[str, list[float]] = {"bare pty": [], "podsh run": [], "podsh attach": []}
    for _ in range(3):
        with _on_terminal(program, podsh) as person:
            found["bare pty"] += _echoes(person, rounds)
        with _on_terminal([own, "run", "--rm", "--", *program], podsh) as person:
            found["podsh run"] += _echoes(person, rounds)
        done = podsh.run("run", "-d", "--rm", "-n", "keys", "--", *program)
        assert done.code == 0, done.err
        with _on_terminal([own, "attach", "keys"], podsh) as person:
            found["podsh attach"] += _echoes(person, rounds)
        podsh.run("kill", "keys")
    return found


def attention(podsh: Podsh, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from the attention key to the prompt, under floods of several kinds."""
    floods = {
        "plain": "yes 'a line of some words, as programs write them, over and over'",
        "colours": r"yes \"$(printf '\033[1;31mword\033[0m \033[38;5;9mnext\033[m')\"",
        "without newlines": "tr '\\0' x < /dev/zero",
        "escapes only": "tr '\\0' '\\033' < /dev/zero",
        "random bytes": "cat /dev/urandom",
    }
    found: dict[str, list[float]] = {}
    with _on_terminal([str(podsh.command)], podsh) as person:
        person.until(PROMPT)
        for kind, flood in floods.items():
            found[kind] = []
            person.rest(0.3)
            os.write(person.fd, f'run --rm -n flood -- sh -c "{flood}"\r'.encode())
            person.until(b"\x1b[?1049h")
            for _ in range(rounds):
                end = time.monotonic() + 0.3
                while time.monotonic() < end:
                    if select.select([person.fd], [], [], 0.05)[0]:
                        person.read()
                start = time.perf_counter()
                os.write(person.fd, ATTENTION)
                person.until(b"\x1b[?1049l")
                person.until(PROMPT)
                found[kind].append((time.perf_counter() - start) * 1000)
                person.rest(0.3)
                os.write(person.fd, ATTENTION)
                person.until(b"\x1b[?1049h")
            os.write(person.fd, ATTENTION)
            person.until(PROMPT)
            podsh.run("kill", "-s", "KILL", "flood")
            podsh.run("wait", "flood", "exit", "-t", "10")
        person.rest(0.3)
        os.write(person.fd, b"quit\r")
        with contextlib.suppress(OSError):  # EIO: it has ended
            person.rest(_LIMIT_S)
    return found
